// What the test programs share: checks that say where, and a heap in two lines.
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "palimpsest.h"

// The condition holds, or the program ends.
#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, palimpsest_last_error());             \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

// The call succeeds.
#define OK(call) CHECK((call) == PALIMPSEST_OK)

// The call fails with this status, and its message has this in it.
#define FAILS(call, status, text)                                                                                     \
    do {                                                                                                              \
        CHECK((call) == (status));                                                                                    \
        CHECK(palimpsest_last_status() == (status));                                                                  \
        CHECK(strstr(palimpsest_last_error(), (text)) != NULL);                                                       \
    } while (0)

static inline palimpsest_heap *heap_with(palimpsest_config *config)
{
    palimpsest_heap *heap = NULL;
    OK(palimpsest_config_limit(config, (size_t)64 << 20));
    OK(palimpsest_heap_new(config, &heap));
    OK(palimpsest_config_free(config));
    return heap;
}

// A heap of plain pointers.
static inline palimpsest_heap *new_heap(void)
{
    palimpsest_config *config = palimpsest_config_new();
    CHECK(config != NULL);
    return heap_with(config);
}

static inline palimpsest_mutator *attach(palimpsest_heap *heap)
{
    palimpsest_mutator *mutator = NULL;
    OK(palimpsest_attach(heap, false, &mutator));
    return mutator;
}

// What a full cycle marks.
static inline uint64_t marked(palimpsest_mutator *mutator)
{
    palimpsest_cycle cycle = {.size = sizeof cycle};
    OK(palimpsest_collect(mutator, &cycle));
    CHECK(!cycle.young && !cycle.failed && cycle.stray_references == 0);
    return cycle.marked_objects;
}

#endif
