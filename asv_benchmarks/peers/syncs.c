/* Counts the calls that ask for data to be on the disk; for LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

static atomic_long count;

long peers_syncs(void) { return atomic_load(&count); }

#define COUNTED(name, parameters, arguments)                             \
    int name parameters                                                  \
    {                                                                    \
        int(*next) parameters = (int(*) parameters)dlsym(RTLD_NEXT, #name); \
        atomic_fetch_add(&count, 1);                                     \
        return next arguments;                                           \
    }

COUNTED(fsync, (int descriptor), (descriptor))
COUNTED(fdatasync, (int descriptor), (descriptor))
COUNTED(syncfs, (int descriptor), (descriptor))
COUNTED(msync, (void *start, size_t length, int flags), (start, length, flags))
