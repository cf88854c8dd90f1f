// Ephemerons: a value lives as long as its key, also where it refers to it.
#include "check.h"

int main(void)
{
    palimpsest_heap *heap = new_heap();
    palimpsest_mutator *mutator = attach(heap);

    palimpsest_weak_map *map = NULL;
    OK(palimpsest_weak_map_new(mutator, &map));
    void *key = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 16);
    palimpsest_handle *handle = NULL;
    OK(palimpsest_handle_new(mutator, key, &handle));
    void **note = palimpsest_alloc(mutator, PALIMPSEST_UNIFORM, 16);
    CHECK(note != NULL);
    note[0] = key;
    OK(palimpsest_weak_map_insert(mutator, map, key, (uintptr_t)note));

    bool found = false;
    uint64_t value = 0;
    CHECK(marked(mutator) == 2);
    OK(palimpsest_weak_map_get(mutator, map, key, &value, &found));
    CHECK(found && value == (uintptr_t)note && note[0] == key);

    void *other = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 16);
    value = 99;
    OK(palimpsest_weak_map_get(mutator, map, other, &value, &found));
    CHECK(!found && value == 99);
    OK(palimpsest_weak_map_insert(mutator, map, other, 0));
    size_t length = 0;
    OK(palimpsest_weak_map_len(map, &length));
    CHECK(length == 2);
    bool removed = false;
    OK(palimpsest_weak_map_remove(mutator, map, other, &removed));
    CHECK(removed);
    OK(palimpsest_weak_map_remove(mutator, map, other, &removed));
    CHECK(!removed);

    OK(palimpsest_handle_free(handle));
    CHECK(marked(mutator) == 0);
    OK(palimpsest_weak_map_len(map, &length));
    CHECK(length == 0);
    OK(palimpsest_weak_map_free(map));

    palimpsest_ephemeron *ephemeron = NULL;
    key = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 16);
    OK(palimpsest_handle_new(mutator, key, &handle));
    OK(palimpsest_ephemeron_new(mutator, key, 0, &ephemeron));
    void *kept = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 16);
    bool alive = false;
    OK(palimpsest_ephemeron_set(mutator, ephemeron, (uintptr_t)kept, &alive));
    CHECK(alive);
    CHECK(marked(mutator) == 2);
    void *there = NULL;
    OK(palimpsest_ephemeron_get(mutator, ephemeron, &there, &value));
    CHECK(there == key && value == (uintptr_t)kept);
    OK(palimpsest_handle_free(handle));
    CHECK(marked(mutator) == 0);
    OK(palimpsest_ephemeron_get(mutator, ephemeron, &there, &value));
    CHECK(there == NULL && value == 0);
    OK(palimpsest_ephemeron_set(mutator, ephemeron, 0, &alive));
    CHECK(!alive);
    OK(palimpsest_ephemeron_free(ephemeron));

    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
    puts("maps: ok");
    return 0;
}
