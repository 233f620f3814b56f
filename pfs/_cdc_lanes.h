/* The vector scan, once for every width: include after defining the macros below; they are undefined at the end.
 *
 *   NAME, TARGET        the function and its attribute
 *   V, W                vector of unsigned 16-bit lanes, and its bytes: 16, 32 or 64
 *   LOAD(p) SET(k) MULADD(x, k, y) BSWAP(x) MAX(x, y)      y + x * k; bytes of each lane; signed maximum
 *   LAG60(old, next)    W bytes from byte 4 of `old` (64 bytes ago) on, continued in `next`, the vector after it
 *   ANY(x)              whether some lane of x hits P1
 *   MASK(even, odd)     one bit for each P1 hit, in order of position
 *   LEAVE()             what the caller's SSE code needs: vzeroupper. gcc 12 forgets it on the path of a hit, and
 *                       SSE code then runs five times slower (Zen 5)
 *
 * A vector loaded at address x has the positions x+1, x+3, ...; the one loaded at x+1 has those between: two "parities".
 * Of each stage a ring keeps as many vectors as its lag needs (64, 128 and 256 bytes), so lags are whole vectors, but
 * for lag 60. One compare and branch for 256 bytes; a hit every 8 KiB on average is checked in scalar code.
 */
#define R (256 / W)
#define G (64 / W)

TARGET static size_t NAME(const cdc_plan *plan, const uint8_t *p, size_t lo, size_t hi) {
    const V k0 = SET(plan->k[0]), k1 = SET(plan->k[1]), k2 = SET(plan->k[2]), k3 = SET(plan->k[3]);
    V g[2][G], h1[2][R / 2], h2[2][R], h3[2][R];
    size_t at = lo - 449; /* the rings start as zeros: positions are right from at + 449 on */

    memset(g, 0, sizeof g);
    memset(h1, 0, sizeof h1);
    memset(h2, 0, sizeof h2);
    at -= (uintptr_t)(p + at) & 63; /* then one load in four never crosses a cache line */
    for (; at + 256 < hi; at += 256) {
        V top = SET(0);
#pragma GCC unroll 16
        for (int u = 0; u < R; u++) {
#pragma GCC unroll 2
            for (int q = 0; q < 2; q++) {
                const uint8_t *from = p + at + q + u * W;
                const V x = MULADD(LOAD(from), k0, LOAD(from - 2));
                const V gx = BSWAP(x);
                const V old = g[q][u % G];
                const V lag = G == 1 ? LAG60(old, gx) : LAG60(old, g[q][(u + 1) % G]);
                const V h1x = MULADD(gx, k1, lag);
                const V h2x = MULADD(h1x, k2, h1[q][u % (R / 2)]);
                const V h3x = MULADD(h2x, k3, h2[q][u]);
                g[q][u % G] = gx;
                h1[q][u % (R / 2)] = h1x;
                h2[q][u] = h2x;
                h3[q][u] = h3x;
                top = MAX(top, h3x);
            }
        }
        if (CDC_LIKELY(!ANY(top))) continue;
        for (int u = 0; u < R; u++) {
            for (uint64_t hits = MASK(h3[0][u], h3[1][u]); hits; hits &= hits - 1) {
                const size_t i = at + (size_t)(u * W + 1 + __builtin_ctzll(hits));
                if (i < lo || !cdc_is_boundary(plan, p, i)) continue;
                LEAVE();
                return i;
            }
        }
    }
    LEAVE();
    return cdc_scan_scalar(plan, p, at + 1 > lo ? at + 1 : lo, hi);
}

#undef NAME
#undef TARGET
#undef V
#undef W
#undef R
#undef G
#undef LOAD
#undef SET
#undef MULADD
#undef BSWAP
#undef MAX
#undef LAG60
#undef ANY
#undef MASK
#undef LEAVE
