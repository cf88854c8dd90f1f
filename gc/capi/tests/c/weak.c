// Weak references: in native memory, and as slots of objects.
#include "check.h"

int main(void)
{
    palimpsest_heap *heap = new_heap();
    palimpsest_mutator *mutator = attach(heap);
    void *found = NULL;

    void *object = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 64);
    palimpsest_handle *handle = NULL;
    palimpsest_weak *weak = NULL;
    OK(palimpsest_handle_new(mutator, object, &handle));
    OK(palimpsest_weak_new(mutator, object, &weak));
    OK(palimpsest_collect(mutator, NULL));
    OK(palimpsest_weak_get(mutator, weak, &found));
    CHECK(found == object);

    void *other = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 64);
    OK(palimpsest_weak_set(mutator, weak, other));
    OK(palimpsest_weak_get(mutator, weak, &found));
    CHECK(found == other);
    OK(palimpsest_collect(mutator, NULL));
    OK(palimpsest_weak_get(mutator, weak, &found));
    CHECK(found == NULL);
    OK(palimpsest_weak_free(weak));

    // An object of the language that refers weakly to another.
    uint32_t *owner = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 16);
    OK(palimpsest_weak_slot_new(mutator, owner, object, owner));
    palimpsest_handle *keeper = NULL;
    OK(palimpsest_handle_new(mutator, owner, &keeper));
    OK(palimpsest_weak_slot_get(mutator, *owner, &found));
    CHECK(found == object);
    OK(palimpsest_handle_free(handle));
    OK(palimpsest_collect(mutator, NULL));
    OK(palimpsest_weak_slot_get(mutator, *owner, &found));
    CHECK(found == NULL);
    OK(palimpsest_weak_slot_set(mutator, *owner, owner));
    OK(palimpsest_weak_slot_get(mutator, *owner, &found));
    CHECK(found == owner);
    OK(palimpsest_handle_free(keeper));

    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
    puts("weak: ok");
    return 0;
}
