// A pointer that moves through fresh memory, and nothing is ever freed: what allocation costs at the least. Memory that is never
// used again is also never in a cache, so for long runs this is not a bound of everything.
#define NAME "bump"
enum { MANUAL = 0 };

extern _Thread_local char *bump_next, *bump_end;

// More memory for this thread, for an object of this size at least.
void *bump_more(size_t size);

static inline void *new_object(size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if ((size_t)(bump_end - bump_next) < size)
        return bump_more(size);
    void *object = bump_next;
    bump_next += size;
    return object;
}

static inline void *new_leaf(size_t size) { return new_object(size); }
static inline void *new_table(size_t len) { return new_object(len * sizeof(void *)); }
static inline void *new_leaf_table(size_t len) { return new_object(len * sizeof(uint64_t)); }
static inline void drop(void *object) { (void)object; }
