// Finalizers: the program gets back what it cannot reach any more, in order, and when it likes.
#include "check.h"

#include <pthread.h>

static void *wait_for_one(void *heap)
{
    palimpsest_mutator *mutator = attach(heap);
    bool any = false;
    OK(palimpsest_finalizer_wait(mutator, PALIMPSEST_FOR_EVER, &any));
    CHECK(any);
    OK(palimpsest_detach(mutator));
    return NULL;
}

int main(void)
{
    palimpsest_heap *heap = new_heap();
    palimpsest_mutator *mutator = attach(heap);
    void *objects[4];
    palimpsest_finalizer finalizers[4];
    for (uint64_t at = 0; at < 4; at++) {
        objects[at] = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 16);
        OK(palimpsest_finalizer_register(mutator, objects[at], 100 + at, &finalizers[at]));
    }
    palimpsest_handle *handle = NULL;
    OK(palimpsest_handle_new(mutator, objects[3], &handle));
    bool removed = false;
    OK(palimpsest_finalizer_unregister(mutator, finalizers[1], &removed));
    CHECK(removed);
    OK(palimpsest_finalizer_unregister(mutator, finalizers[1], &removed));
    CHECK(!removed);

    bool any = true;
    OK(palimpsest_finalizer_wait(mutator, 1, &any));
    CHECK(!any);
    pthread_t waits;
    CHECK(pthread_create(&waits, NULL, wait_for_one, heap) == 0);
    palimpsest_cycle cycle = {.size = sizeof cycle};
    OK(palimpsest_collect(mutator, &cycle));
    CHECK(cycle.finalizers_queued == 2);
    CHECK(pthread_join(waits, NULL) == 0);

    void *object = NULL;
    uint64_t token = 0;
    OK(palimpsest_finalizer_take(mutator, &object, &token));
    CHECK(object == objects[0] && token == 100);
    OK(palimpsest_finalizer_take(mutator, &object, NULL));
    CHECK(object == objects[2]);
    OK(palimpsest_finalizer_take(mutator, &object, &token));
    CHECK(object == NULL);

    // At exit: what is alive too.
    size_t queued = 0;
    OK(palimpsest_finalizers_queue_all(mutator, &queued));
    CHECK(queued == 1);
    OK(palimpsest_finalizer_take(mutator, &object, &token));
    CHECK(object == objects[3] && token == 103);

    OK(palimpsest_handle_free(handle));
    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
    puts("finalizers: ok");
    return 0;
}
