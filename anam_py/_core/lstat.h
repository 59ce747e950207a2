/* The status of a file as numbers, links not followed. */
#ifndef ANAM_LSTAT_H
#define ANAM_LSTAT_H

#include <stdint.h>

#ifndef _WIN32
#include <errno.h>
#include <sys/stat.h>

#ifdef __APPLE__
#define ANAM_NS(status, which) ((int64_t)(status).st_##which##timespec.tv_sec * 1000000000 + (status).st_##which##timespec.tv_nsec)
#else
#define ANAM_NS(status, which) ((int64_t)(status).st_##which##tim.tv_sec * 1000000000 + (status).st_##which##tim.tv_nsec)
#endif

/* Mode, size, and times in ns of the last change of the content and of the status; a mode of 0 if nothing is there, of -1 if that
 * cannot be told. */
static void anam_lstat(const char *path, int64_t *out)
{
    struct stat status;
    if (lstat(path, &status) == 0) {
        out[0] = status.st_mode;
        out[1] = status.st_size;
        out[2] = ANAM_NS(status, m);
        out[3] = ANAM_NS(status, c);
    } else {
        out[0] = errno == ENOENT || errno == ENOTDIR ? 0 : -1;
        out[1] = out[2] = out[3] = 0;
    }
}

#else
/* Where os.lstat is asked instead. */
static void anam_lstat(const char *path, int64_t *out)
{
    (void)path;
    out[0] = -1;
    out[1] = out[2] = out[3] = 0;
}
#endif

#endif
