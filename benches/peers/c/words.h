// Objects of words without pointers: how many there are, and then `tag` + 1, `tag` + 2 and so on.
#ifndef PEER_WORDS_H
#define PEER_WORDS_H

#include "heap.h"

static inline uint64_t *new_words(uint64_t len, uint64_t tag)
{
    uint64_t *words = new_leaf(len * sizeof *words);
    words[0] = len;
    for (uint64_t k = 1; k < len; k++)
        words[k] = tag + k;
    return words;
}

// What a checksum takes from such an object: its length, the word in its middle and the last one.
static inline uint64_t read_words(const uint64_t *words) { return words[0] + words[words[0] / 2] + words[words[0] - 1]; }

#endif
