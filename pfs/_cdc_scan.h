/* plg1: the plan, the two hashes, and the scan that is right on every machine. See docs/format/chunking.md.
 *
 * A scan looks at the would-be last bytes i of a chunk, lo <= i < hi, and returns the first that is a boundary, or hi.
 * A boundary depends on b[i-447..i] alone, so a scan may start anywhere; it reads p[lo-CDC_LOOKBACK .. hi-1] at most.
 */
#ifndef PFS_CDC_SCAN_H
#define PFS_CDC_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CDC_LOOKBACK 1024 /* more than any scan reads before lo: 448 of window, 64 of alignment */
#define CDC_P1 0x7FF7     /* P1: (int16_t)h3 > 0x7FF7 */

#if defined(__GNUC__)
#define CDC_LIKELY(x) __builtin_expect(!!(x), 1)
#else
#define CDC_LIKELY(x) (x)
#endif

/* The parameters, derived once in pfs/_plg_plan.py; Plan.words has the same order. */
typedef struct {
    uint64_t min, normal, max; /* bytes */
    uint64_t t1, t2;           /* threshold of s below `normal` bytes, and from there on */
    uint64_t k[4];             /* 16-bit multipliers */
    uint64_t a[8], b[8], mf;
} cdc_plan;

typedef size_t (*cdc_scan)(const cdc_plan *plan, const uint8_t *p, size_t lo, size_t hi);

static inline uint64_t cdc_le64(const uint8_t *p) {
    uint64_t word = 0;
    for (int k = 7; k >= 0; k--) word = word << 8 | p[k];
    return word;
}

/* P2: the keyed hash of the 64 bytes that end at i, against the threshold for a chunk of i + 1 bytes. */
static inline int cdc_is_boundary(const cdc_plan *plan, const uint8_t *p, size_t i) {
    uint64_t s = 0;
    for (size_t k = 0; k < 8; k++) s += (cdc_le64(p + i - 63 + 8 * k) ^ plan->a[k]) * plan->b[k];
    s ^= s >> 32;
    s *= plan->mf;
    s ^= s >> 29;
    return s < (i + 1 < plan->normal ? plan->t1 : plan->t2);
}

/* Byte by byte, with the last 512 values of each stage in rings; also scans the tails of the vector kernels. */
static size_t cdc_scan_scalar(const cdc_plan *plan, const uint8_t *p, size_t lo, size_t hi) {
    enum { RING = 512, MASK = RING - 1 };
    uint16_t g[RING] = {0}, h1[RING] = {0}, h2[RING] = {0};
    const uint32_t k0 = (uint32_t)plan->k[0], k1 = (uint32_t)plan->k[1];
    const uint32_t k2 = (uint32_t)plan->k[2], k3 = (uint32_t)plan->k[3];

    if (lo >= hi) return hi;
    for (size_t i = lo - 448; i < hi; i++) {
        const uint32_t w = p[i - 1] | (uint32_t)p[i] << 8, w2 = p[i - 3] | (uint32_t)p[i - 2] << 8;
        const uint16_t x = (uint16_t)(w * k0 + w2);
        g[i & MASK] = (uint16_t)(x << 8 | x >> 8);
        h1[i & MASK] = (uint16_t)(g[i & MASK] * k1 + g[(i - 60) & MASK]);
        h2[i & MASK] = (uint16_t)(h1[i & MASK] * k2 + h1[(i - 128) & MASK]);
        const uint16_t h3 = (uint16_t)(h2[i & MASK] * k3 + h2[(i - 256) & MASK]);
        if (CDC_LIKELY(h3 <= CDC_P1 || h3 > 0x7FFF)) continue;
        if (i >= lo && cdc_is_boundary(plan, p, i)) return i;
    }
    return hi;
}

/* Length of the first chunk of the n > 0 bytes at p; 0 when that depends on bytes which may still follow. */
static size_t cdc_first(const cdc_plan *plan, cdc_scan scan, const uint8_t *p, size_t n, int final) {
    if (n <= plan->min) return final ? n : 0;
    const size_t m = n < plan->max ? n : (size_t)plan->max;
    const size_t i = scan(plan, p, (size_t)plan->min - 1, m - 1);
    if (i < m - 1) return i + 1;
    return final || m == plan->max ? m : 0;
}

#endif
