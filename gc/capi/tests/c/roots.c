// Roots: handles, and ranges of native memory; what is no root any more is reclaimed.
#include "check.h"

static uint64_t *new_object(palimpsest_mutator *mutator)
{
    uint64_t *object = palimpsest_alloc(mutator, PALIMPSEST_UNIFORM, 16);
    CHECK(object != NULL);
    return object;
}

int main(void)
{
    palimpsest_heap *heap = new_heap();
    palimpsest_mutator *mutator = attach(heap);

    palimpsest_handle *handle = NULL;
    uint64_t *object = new_object(mutator);
    OK(palimpsest_handle_new(mutator, object, &handle));
    CHECK(palimpsest_handle_get(handle) == object);
    CHECK(marked(mutator) == 1);
    uint64_t *other = new_object(mutator);
    OK(palimpsest_handle_set(mutator, handle, other));
    CHECK(palimpsest_handle_get(handle) == other);
    CHECK(marked(mutator) == 1);
    OK(palimpsest_handle_free(handle));
    CHECK(marked(mutator) == 0);

    // More of them than fit into one table.
    enum { MANY = 1000 };
    static palimpsest_handle *handles[MANY];
    for (int at = 0; at < MANY; at++)
        OK(palimpsest_handle_new(mutator, new_object(mutator), &handles[at]));
    CHECK(marked(mutator) == MANY);
    for (int at = 0; at < MANY; at += 2)
        OK(palimpsest_handle_free(handles[at]));
    CHECK(marked(mutator) == MANY / 2);
    for (int at = 1; at < MANY; at += 2)
        OK(palimpsest_handle_free(handles[at]));

    static volatile uint64_t fixed[4];
    palimpsest_roots *roots = NULL;
    OK(palimpsest_roots_fixed(heap, (const uint64_t *)fixed, 4, &roots));
    for (int at = 0; at < 4; at++)
        fixed[at] = (uintptr_t)new_object(mutator);
    CHECK(marked(mutator) == 4);
    fixed[1] = 0;
    CHECK(marked(mutator) == 3);
    OK(palimpsest_roots_free(roots));
    CHECK(marked(mutator) == 0);

    static uint64_t stack[100];
    static const uint64_t *volatile top = stack;
    OK(palimpsest_roots_up_to(heap, stack, (const uint64_t *const *)&top, &roots));
    for (int depth = 0; depth < 100; depth++) {
        ((volatile uint64_t *)stack)[depth] = (uintptr_t)new_object(mutator);
        top = stack + depth + 1;
    }
    CHECK(marked(mutator) == 100);
    top = stack + 30;
    CHECK(marked(mutator) == 30);
    OK(palimpsest_roots_free(roots));

    static volatile uint64_t anything[2];
    OK(palimpsest_roots_conservative(heap, (const uint64_t *)anything, 2, &roots));
    anything[0] = (uintptr_t)new_object(mutator) + 9;
    anything[1] = 12345;
    CHECK(marked(mutator) == 1);
    OK(palimpsest_roots_free(roots));

    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
    puts("roots: ok");
    return 0;
}
