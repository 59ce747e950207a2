/* The instruction sets: what has functions compiled for each, and how to tell whether this CPU runs them. */
#ifndef ANAM_TARGETS_H
#define ANAM_TARGETS_H

/* Before a loop: its iterations may be done together, and with sums as arguments, these may be added up in any order. MSVC has
 * no such words, or only with /openmp:experimental, where they mean fast instead of IEEE arithmetic. */
#if defined(__GNUC__) || defined(__clang__)
    #define ANAM_INLINE static inline __attribute__((always_inline))
    #define ANAM_PRAGMA(WORDS) _Pragma(#WORDS)
    #define ANAM_TOGETHER ANAM_PRAGMA(omp simd)
    #define ANAM_TOGETHER_ADDING(...) ANAM_PRAGMA(omp simd reduction(+:__VA_ARGS__))
#else
    #define ANAM_INLINE static __forceinline
    #define ANAM_TOGETHER
    #define ANAM_TOGETHER_ADDING(...)
#endif

#define ANAM_PORTABLE

static int anam_portable_usable(void) { return 1; }

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>

#if defined(_MSC_VER) && !defined(__clang__)
    #include <intrin.h>
    #define ANAM_AVX2
    #define ANAM_AVXVNNI
    #define ANAM_VNNI

    /* Of CPUID's leaf 7: EBX and ECX of subleaf 0, EAX of subleaf 1; all 0 unless the system saves the wide registers. */
    static void anam_leaf7(unsigned long long saved, int *ebx, int *ecx, int *eax1)
    {
        int leaf[4];
        *ebx = *ecx = *eax1 = 0;
        __cpuid(leaf, 0);
        if (leaf[0] < 7)
            return;
        __cpuidex(leaf, 1, 0);
        const int fma_osxsave_avx = (1 << 12) | (1 << 27) | (1 << 28);
        if ((leaf[2] & fma_osxsave_avx) != fma_osxsave_avx || (_xgetbv(0) & saved) != saved)
            return;
        __cpuidex(leaf, 7, 0);
        *ebx = leaf[1];
        *ecx = leaf[2];
        if (leaf[0] >= 1) {
            __cpuidex(leaf, 7, 1);
            *eax1 = leaf[0];
        }
    }

    static int anam_avx2_usable(void)
    {
        int ebx, ecx, eax1;
        anam_leaf7(0x06, &ebx, &ecx, &eax1);
        return (ebx >> 5) & 1;
    }

    static int anam_avxvnni_usable(void)
    {
        int ebx, ecx, eax1;
        anam_leaf7(0x06, &ebx, &ecx, &eax1);
        return (ebx >> 5) & (eax1 >> 4) & 1;
    }

    static int anam_vnni_usable(void)
    {
        int ebx, ecx, eax1;
        anam_leaf7(0xe6, &ebx, &ecx, &eax1);
        return (ebx >> 5) & (ebx >> 16) & (ebx >> 30) & (ebx >> 31) & (ecx >> 11) & 1;
    }
#else
    #define ANAM_AVX2 __attribute__((target("avx2,fma")))
    #define ANAM_VNNI __attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512vnni")))

    static int anam_avx2_usable(void)
    {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }

    static int anam_vnni_usable(void)
    {
        return anam_avx2_usable() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    }

    /* Compilers that know the instructions do not all know their name for __builtin_cpu_supports. */
    #if (defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && __GNUC__ >= 11)
        #include <cpuid.h>
        #define ANAM_AVXVNNI __attribute__((target("avx2,fma,avxvnni")))

        static int anam_avxvnni_usable(void)
        {
            unsigned eax, ebx, ecx, edx;
            return anam_avx2_usable() && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && ((eax >> 4) & 1);
        }
    #endif
#endif
#endif

#if defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
/* For functions that have none of those for every CPU inlined into them: a file compiled for more than this architecture, or with
 * other extensions, has these compiled for that. Clang before 16 has the intrinsics only where all the file may use them. */
#if defined(__ARM_FEATURE_DOTPROD)
    #define ANAM_DOTPROD
#elif !defined(__clang__) || __clang_major__ >= 16
    #define ANAM_DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#endif

#if defined(ANAM_DOTPROD)
    #include <arm_neon.h>
    #if defined(__linux__)
        #include <sys/auxv.h>
    #elif defined(__APPLE__)
        #include <sys/sysctl.h>
    #endif

    static int anam_dotprod_usable(void)
    {
    #if defined(__linux__)
        return (getauxval(AT_HWCAP) >> 20) & 1;     /* HWCAP_ASIMDDP */
    #elif defined(__APPLE__)
        int found = 0;
        size_t size = sizeof found;
        return sysctlbyname("hw.optional.arm.FEAT_DotProd", &found, &size, NULL, 0) == 0 && found;
    #else
        return 0;
    #endif
    }
#endif
#endif

#endif
