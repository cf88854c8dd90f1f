// Marsaglia's xorshift with 32 bits of state, as in the Rust programs.
#ifndef PEER_RANDOM_H
#define PEER_RANDOM_H

#include <stdint.h>

struct random {
    uint32_t word;
};

static inline struct random random_new(void) { return (struct random){2463534242u}; }

// One of many: a thread's, or a request's.
static inline struct random random_of(uint64_t index)
{
    return (struct random){(2463534242u ^ (uint32_t)index * 2654435769u) | 1};
}

static inline uint32_t next(struct random *random)
{
    uint32_t word = random->word;
    word ^= word << 13;
    word ^= word >> 17;
    word ^= word << 5;
    return random->word = word;
}

// A number below `bound`, which must fit 32 bits.
static inline uint64_t below(struct random *random, uint64_t bound) { return next(random) * bound >> 32; }

#endif
