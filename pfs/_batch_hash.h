/* BLAKE3 of many short inputs: sixteen lanes take the next 1 KiB chunk of whichever input has one, so that they are
 * full however short the inputs are. One input of some KiB cannot fill them: this is three times as fast.
 *
 * After the BLAKE3 specification (O'Connor, Aumasson, Neves, Wilcox-O'Hearn, 2020): the tree over the chunks is made
 * by joining neighbours level by level, an odd one out goes up as it is; that gives the largest power of two on the
 * left, as the specification has it.
 */
#ifndef PFS_BATCH_HASH_H
#define PFS_BATCH_HASH_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are read as they lie in memory; without this module the blake3 package is used"
#endif

#define LANES 16
#define CHUNK 1024u
#define BLOCK 64u

typedef struct {
    uint64_t offset, length;
} hash_span;

typedef uint32_t lanes __attribute__((vector_size(4 * LANES)));

enum { CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8, OF_CONTEXT = 32, WITH_CONTEXT = 64 };

static const uint32_t hash_start[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                       0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};
static const uint8_t hash_order[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1}, {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4}, {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13}};

static const int hash_mixed[8][4] = {{0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15},
                                     {0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14}};

/* What chunks and parents start from, and the flags that all blocks have. */
typedef struct {
    uint32_t key[8], flags;
} hash_mode;

/* One block of each lane; h[w] has word w of the chaining values of all lanes. */
typedef struct {
    lanes h[8];
    lanes low, high, length, flags;
    const uint8_t *block[LANES];
} hash_step;

#define INLINE static inline __attribute__((always_inline))

/* Vectors go by pointer: passed by value they would depend on the instruction set. */
INLINE void turn(lanes *x, const lanes *y, int n) {
    const lanes both = *x ^ *y;
    *x = (both >> n) | (both << (32 - n));
}

INLINE void swap_halves(lanes *a, lanes *b, int d) {
    lanes low, high;
    for (int j = 0; j < LANES; j++) {
        low[j] = (uint32_t)((j & d) ? LANES + j - d : j);
        high[j] = (uint32_t)((j & d) ? LANES + j : j + d);
    }
    const lanes first = __builtin_shuffle(*a, *b, low), second = __builtin_shuffle(*a, *b, high);
    *a = first, *b = second;
}

INLINE void load(const uint8_t *const block[LANES], lanes m[16]) {
    for (int k = 0; k < LANES; k++) memcpy(&m[k], block[k], BLOCK);
    for (int d = 1; d < LANES; d *= 2) {
        for (int k = 0; k < LANES; k++) {
            if (!(k & d)) swap_halves(&m[k], &m[k + d], d);
        }
    }
}

INLINE void mix(lanes *v, const int at[4], const lanes *x, const lanes *y) {
    lanes *a = &v[at[0]], *b = &v[at[1]], *c = &v[at[2]], *d = &v[at[3]];
    *a += *b + *x, turn(d, a, 16), *c += *d, turn(b, c, 12);
    *a += *b + *y, turn(d, a, 8), *c += *d, turn(b, c, 7);
}

INLINE void compress_all(hash_step *s) {
    lanes m[16], v[16];
    load(s->block, m);
    for (int w = 0; w < 8; w++) v[w] = s->h[w];
    for (int w = 0; w < 4; w++) v[8 + w] = (lanes){0} + hash_start[w];
    v[12] = s->low, v[13] = s->high, v[14] = s->length, v[15] = s->flags;
#pragma GCC unroll 7
    for (int r = 0; r < 7; r++) {
        const uint8_t *o = hash_order[r];
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++) mix(v, hash_mixed[k], &m[o[2 * k]], &m[o[2 * k + 1]]);
    }
    for (int w = 0; w < 8; w++) s->h[w] = v[w] ^ v[w + 8];
}

typedef void (*hash_compress)(hash_step *);

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void compress_avx512(hash_step *s) { compress_all(s); }
__attribute__((target("avx2"))) static void compress_avx2(hash_step *s) { compress_all(s); }
#endif
static void compress_any(hash_step *s) { compress_all(s); }

static hash_compress hash_best(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return compress_avx512;
    if (__builtin_cpu_supports("avx2")) return compress_avx2;
#endif
    return compress_any;
}

static uint64_t chunks_of(const hash_span *span) { return span->length ? (span->length + CHUNK - 1) / CHUNK : 1; }

/* A chunk that a lane works at; `out` is NULL where the lane has none. */
typedef struct {
    const uint8_t *at;
    size_t left;
    uint64_t number;
    uint8_t *out;
    uint32_t flags; /* of the next block */
    int alone;      /* the only chunk: its last block is the root */
    uint8_t padded[BLOCK];
} hash_lane;

/* The chunks of all spans, one after the other. */
typedef struct {
    const uint8_t *data;
    const hash_span *spans;
    const hash_mode *mode;
    size_t count, span;
    uint64_t chunk;
    uint8_t *out;
} hash_queue;

static int next_chunk(hash_queue *q, hash_lane *lane) {
    lane->out = NULL;
    if (q->span == q->count) return 0;
    const hash_span *span = &q->spans[q->span];
    const uint64_t all = chunks_of(span), start = q->chunk * CHUNK;
    lane->at = q->data + span->offset + start;
    lane->left = (size_t)(span->length - start < CHUNK ? span->length - start : CHUNK);
    lane->number = q->chunk, lane->alone = all == 1, lane->flags = CHUNK_START;
    lane->out = q->out, q->out += 32;
    if (++q->chunk == all) q->chunk = 0, q->span++;
    return 1;
}

static void start_lane(hash_step *s, const hash_lane *lane, const hash_mode *mode, int k) {
    for (int w = 0; w < 8; w++) s->h[w][k] = mode->key[w];
    s->low[k] = (uint32_t)lane->number, s->high[k] = (uint32_t)(lane->number >> 32);
}

static void feed_lane(hash_step *s, hash_lane *lane, const hash_mode *mode, int k) {
    const size_t size = lane->left < BLOCK ? lane->left : BLOCK;
    if (lane->left <= BLOCK) lane->flags |= CHUNK_END | (lane->alone ? (uint32_t)ROOT : 0);
    s->flags[k] = lane->flags | mode->flags, s->length[k] = (uint32_t)size;
    lane->flags = 0;
    if (size < BLOCK) {
        memset(lane->padded, 0, BLOCK);
        if (size) memcpy(lane->padded, lane->at, size);
        s->block[k] = lane->padded;
    } else {
        s->block[k] = lane->at;
    }
}

static void take_lane(const hash_step *s, uint8_t *out, int k) {
    for (int w = 0; w < 8; w++) {
        const uint32_t word = s->h[w][k];
        memcpy(out + 4 * w, &word, 4);
    }
}

/* The chaining values of all chunks, in the order of the queue. */
static void hash_chunks(hash_compress compress, hash_queue *q) {
    static const uint8_t nothing[BLOCK];
    hash_lane lane[LANES];
    hash_step s;
    int busy = 0;
    memset(&s, 0, sizeof s);
    for (int k = 0; k < LANES; k++) {
        s.block[k] = nothing;
        if (next_chunk(q, &lane[k])) start_lane(&s, &lane[k], q->mode, k), busy++;
    }
    while (busy) {
        for (int k = 0; k < LANES; k++) {
            if (lane[k].out != NULL) feed_lane(&s, &lane[k], q->mode, k);
        }
        compress(&s);
        for (int k = 0; k < LANES; k++) {
            if (lane[k].out == NULL) continue;
            const size_t done = s.length[k];
            lane[k].at += done, lane[k].left -= done;
            if (lane[k].left) continue;
            take_lane(&s, lane[k].out, k);
            if (next_chunk(q, &lane[k])) {
                start_lane(&s, &lane[k], q->mode, k);
            } else {
                s.block[k] = nothing, busy--;
            }
        }
    }
}

typedef struct {
    hash_step s;
    const hash_mode *mode;
    uint8_t *out[LANES];
    int used;
} hash_parents;

static void run_parents(hash_compress compress, hash_parents *p) {
    for (int k = p->used; k < LANES; k++) p->s.block[k] = p->s.block[0];
    for (int w = 0; w < 8; w++) p->s.h[w] = (lanes){0} + p->mode->key[w];
    compress(&p->s);
    for (int k = 0; k < p->used; k++) take_lane(&p->s, p->out[k], k);
    p->used = 0;
}

/* Join the `left[n]` values of each span at `at[n]` to one, a level of all spans at a time. */
static void join_chunks(hash_compress compress, const hash_mode *mode, uint8_t **at, uint64_t *left, size_t count) {
    hash_parents p;
    int more = 1;
    memset(&p, 0, sizeof p);
    p.mode = mode;
    p.s.length += BLOCK;
    while (more) {
        more = 0;
        for (size_t n = 0; n < count; n++) {
            for (uint64_t pair = 0; pair < left[n] / 2; pair++) {
                /* A pair goes where no pair that is still to be read lies: behind it all have been loaded. */
                p.s.block[p.used] = at[n] + 64 * pair, p.out[p.used] = at[n] + 32 * pair;
                p.s.flags[p.used] = mode->flags | PARENT | (left[n] == 2 ? (uint32_t)ROOT : 0);
                if (++p.used == LANES) run_parents(compress, &p);
            }
        }
        if (p.used) run_parents(compress, &p);
        for (size_t n = 0; n < count; n++) {
            if (left[n] > 1 && left[n] % 2) memmove(at[n] + 32 * (left[n] / 2), at[n] + 32 * (left[n] - 1), 32);
            left[n] = (left[n] + 1) / 2;
            more |= left[n] > 1;
        }
    }
}

/* BLAKE3 of each span in a mode to `out`, 32 bytes each; not 0: no memory. */
static int hash_in_mode(const hash_mode *mode, const uint8_t *data, const hash_span *spans, size_t count, uint8_t *out) {
    uint64_t total = 0;
    for (size_t n = 0; n < count; n++) total += chunks_of(&spans[n]);
    uint8_t *values = malloc((size_t)total * 32 + 1), **at = malloc((count + 1) * sizeof *at);
    uint64_t *left = malloc((count + 1) * sizeof *left);
    const int failed = values == NULL || at == NULL || left == NULL;
    if (!failed && count) {
        hash_queue q = {data, spans, mode, count, 0, 0, values};
        const hash_compress compress = hash_best();
        uint8_t *next = values;
        for (size_t n = 0; n < count; n++) at[n] = next, left[n] = chunks_of(&spans[n]), next += 32 * left[n];
        hash_chunks(compress, &q);
        join_chunks(compress, mode, at, left, count);
        for (size_t n = 0; n < count; n++) memcpy(out + 32 * n, at[n], 32);
    }
    free(left), free(at), free(values);
    return failed;
}

/* BLAKE3 of each span, in derive-key mode if there is a context; not 0: no memory. */
static int hash_spans_in(const uint8_t *context, size_t length, const uint8_t *data, const hash_span *spans,
                         size_t count, uint8_t *out) {
    hash_mode mode = {.flags = 0};
    uint8_t key[32];
    memcpy(mode.key, hash_start, sizeof mode.key);
    if (length) {
        const hash_span whole = {0, length};
        mode.flags = OF_CONTEXT;
        if (hash_in_mode(&mode, context, &whole, 1, key)) return 1;
        memcpy(mode.key, key, sizeof key);
        mode.flags = WITH_CONTEXT;
    }
    return hash_in_mode(&mode, data, spans, count, out);
}

static int hash_spans(const uint8_t *data, const hash_span *spans, size_t count, uint8_t *out) {
    return hash_spans_in(NULL, 0, data, spans, count, out);
}

#endif
