// The collector of Boehm, Demers and Weiser, conservative everywhere. What a careful user tells it: which objects have no pointers,
// which tables are only known by their beginning, and that no object refers to the middle of another (bdwgc.c).
//
// It stops the world and marks with one thread. From the environment: GC_MARKERS=2 marks with two, GC_ENABLE_INCREMENTAL=1 in steps.
#define GC_THREADS
#include <gc.h>

#define NAME "bdwgc"
enum { MANUAL = 0 };

static inline void *or_end(void *object)
{
    if (object == NULL)
        out_of_memory();
    return object;
}

static inline void *new_object(size_t size) { return or_end(GC_MALLOC(size)); }
static inline void *new_leaf(size_t size) { return or_end(GC_MALLOC_ATOMIC(size)); }
static inline void *new_table(size_t len) { return or_end(GC_MALLOC_IGNORE_OFF_PAGE(len * sizeof(void *))); }

// Such memory is not cleared.
static inline void *new_leaf_table(size_t len)
{
    char *table = or_end(GC_MALLOC_ATOMIC_IGNORE_OFF_PAGE(len * sizeof(uint64_t)));
    __builtin_memset(table, 0, len * sizeof(uint64_t));
    return table;
}

static inline void drop(void *object) { (void)object; }
