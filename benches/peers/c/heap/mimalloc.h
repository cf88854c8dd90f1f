// mimalloc, as Rust's crate of that name brings it along, with every object freed as soon as it is garbage.
#include <mimalloc.h>

#define NAME "mimalloc"
enum { MANUAL = 1 };

static inline void *or_end(void *object)
{
    if (object == NULL)
        out_of_memory();
    return object;
}

static inline void *new_object(size_t size) { return or_end(mi_malloc(size)); }
static inline void *new_leaf(size_t size) { return or_end(mi_malloc(size)); }
static inline void *new_table(size_t len) { return or_end(mi_calloc(len, sizeof(void *))); }
static inline void *new_leaf_table(size_t len) { return or_end(mi_calloc(len, sizeof(uint64_t))); }
static inline void drop(void *object) { mi_free(object); }
