/* The scans of this machine, fastest first. Each gives the same boundaries; only speed differs. */
#ifndef PFS_CDC_VARIANTS_H
#define PFS_CDC_VARIANTS_H

#include "_cdc_scan.h"

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define CDC_X86 1
#include <immintrin.h>
#endif

#if defined(CDC_X86)
#define NAME cdc_scan_avx512
#define TARGET __attribute__((target("avx512bw")))
#define V __m512i
#define W 64
#define LOAD(p) _mm512_loadu_si512((const void *)(p))
#define SET(k) _mm512_set1_epi16((short)(k))
#define MULADD(x, k, y) _mm512_add_epi16(_mm512_mullo_epi16(x, k), y)
#define BSWAP(x) _mm512_shuffle_epi8(x, _mm512_set4_epi32(0x0E0F0C0D, 0x0A0B0809, 0x06070405, 0x02030001))
#define MAX(x, y) _mm512_max_epi16(x, y)
#define LAG60(old, next) _mm512_alignr_epi32(next, old, 1)
#define ANY(x) (_mm512_cmpgt_epi16_mask(x, SET(CDC_P1)) != 0)
#define HITS(x) _mm512_cmpgt_epi16_mask(x, SET(CDC_P1))
#define MASK(even, odd) (cdc_spread(HITS(even)) | cdc_spread(HITS(odd)) << 1)
/* Bit j to bit 2j. */
static inline uint64_t cdc_spread(uint32_t bits) {
    uint64_t x = bits;
    x = (x | x << 16) & 0x0000FFFF0000FFFF;
    x = (x | x << 8) & 0x00FF00FF00FF00FF;
    x = (x | x << 4) & 0x0F0F0F0F0F0F0F0F;
    x = (x | x << 2) & 0x3333333333333333;
    return (x | x << 1) & 0x5555555555555555;
}
#define LEAVE() _mm256_zeroupper()
#include "_cdc_lanes.h"
#undef HITS

#define NAME cdc_scan_avx2
#define TARGET __attribute__((target("avx2")))
#define V __m256i
#define W 32
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define SET(k) _mm256_set1_epi16((short)(k))
#define MULADD(x, k, y) _mm256_add_epi16(_mm256_mullo_epi16(x, k), y)
#define BSWAP(x) _mm256_shuffle_epi8(x, _mm256_set_epi64x(0x0E0F0C0D0A0B0809, 0x0607040502030001, \
                                                          0x0E0F0C0D0A0B0809, 0x0607040502030001))
#define MAX(x, y) _mm256_max_epi16(x, y)
#define LAG60(old, next) _mm256_alignr_epi8(_mm256_permute2x128_si256(old, next, 0x21), old, 4)
#define HITS(x) (uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi16(x, SET(CDC_P1)))
#define ANY(x) (HITS(x) != 0)
#define MASK(even, odd) ((HITS(even) & 0x55555555u) | (HITS(odd) & 0xAAAAAAAAu))
#define LEAVE() _mm256_zeroupper()
#include "_cdc_lanes.h"
#undef HITS
#endif

/* 16-byte vectors in the compilers' own notation: SSE2 on x86-64, NEON on 64-bit ARM. */
#if defined(__GNUC__) && defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define CDC_V16 1
typedef uint16_t cdc_v16 __attribute__((vector_size(16)));
typedef int16_t cdc_v16s __attribute__((vector_size(16)));
typedef uint32_t cdc_v32 __attribute__((vector_size(16)));

static inline cdc_v16 cdc_load16(const uint8_t *p) {
    cdc_v16 x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline cdc_v16 cdc_set16(uint64_t k) {
    const uint16_t x = (uint16_t)k;
    return (cdc_v16){x, x, x, x, x, x, x, x};
}

static inline cdc_v16 cdc_max16(cdc_v16 x, cdc_v16 y) {
    const cdc_v16 more = (cdc_v16)((cdc_v16s)x > (cdc_v16s)y);
    return (x & more) | (y & ~more);
}

static inline cdc_v16 cdc_lag60(cdc_v16 old, cdc_v16 next) {
#if defined(__clang__)
    return (cdc_v16)__builtin_shufflevector((cdc_v32)old, (cdc_v32)next, 1, 2, 3, 4);
#else
    return (cdc_v16)__builtin_shuffle((cdc_v32)old, (cdc_v32)next, (cdc_v32){1, 2, 3, 4});
#endif
}

static inline uint64_t cdc_hits16(cdc_v16 x) {
    uint64_t hits = 0;
    for (int j = 0; j < 8; j++) hits |= (uint64_t)((int16_t)x[j] > CDC_P1) << (2 * j);
    return hits;
}

static inline int cdc_any16(cdc_v16 x) {
    uint64_t half[2];
    const cdc_v16 hits = (cdc_v16)((cdc_v16s)x > (cdc_v16s)cdc_set16(CDC_P1));
    memcpy(half, &hits, sizeof half);
    return (half[0] | half[1]) != 0;
}

#define NAME cdc_scan_portable
#define TARGET
#define V cdc_v16
#define W 16
#define LOAD(p) cdc_load16(p)
#define SET(k) cdc_set16(k)
#define MULADD(x, k, y) ((x) * (k) + (y))
#define BSWAP(x) ((x) << 8 | (x) >> 8)
#define MAX(x, y) cdc_max16(x, y)
#define LAG60(old, next) cdc_lag60(old, next)
#define ANY(x) cdc_any16(x)
#define MASK(even, odd) (cdc_hits16(even) | cdc_hits16(odd) << 1)
#define LEAVE() ((void)0)
#include "_cdc_lanes.h"
#endif

enum { CDC_VARIANTS = 4 };
typedef struct {
    const char *name;
    cdc_scan scan; /* NULL: not on this machine */
} cdc_variant;

static void cdc_find_variants(cdc_variant found[CDC_VARIANTS]) {
    cdc_scan avx512 = NULL, avx2 = NULL, portable = NULL;
#if defined(CDC_X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw")) avx512 = cdc_scan_avx512;
    if (__builtin_cpu_supports("avx2")) avx2 = cdc_scan_avx2;
#endif
#if defined(CDC_V16)
    portable = cdc_scan_portable;
#endif
    found[0] = (cdc_variant){"avx512", avx512};
    found[1] = (cdc_variant){"avx2", avx2};
    found[2] = (cdc_variant){"portable", portable};
    found[3] = (cdc_variant){"scalar", cdc_scan_scalar};
}

#endif
