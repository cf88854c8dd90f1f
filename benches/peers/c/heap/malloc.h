// The C library's malloc, with every object freed as soon as it is garbage.
#include <stdlib.h>

#define NAME "malloc"
enum { MANUAL = 1 };

static inline void *or_end(void *object)
{
    if (object == NULL)
        out_of_memory();
    return object;
}

static inline void *new_object(size_t size) { return or_end(malloc(size)); }
static inline void *new_leaf(size_t size) { return or_end(malloc(size)); }
static inline void *new_table(size_t len) { return or_end(calloc(len, sizeof(void *))); }
static inline void *new_leaf_table(size_t len) { return or_end(calloc(len, sizeof(uint64_t))); }
static inline void drop(void *object) { free(object); }
