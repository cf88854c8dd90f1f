// A child that the process forks has no heap, and is told so; freeing is allowed there. The parent does not notice.
#include "check.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// A child whose copy is refused is told so as well, and frees what it has.
static void refused(void)
{
    palimpsest_config *config = palimpsest_config_new();
    OK(palimpsest_config_options(config, "host-fork=copy"));
    palimpsest_heap *heap = heap_with(config);
    palimpsest_mutator *mutator = attach(heap);
    palimpsest_handle *handle = NULL;
    palimpsest_weak_map *map = NULL;
    void *object = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 64);
    OK(palimpsest_handle_new(mutator, object, &handle));
    OK(palimpsest_weak_map_new(mutator, &map));

    // There is no descriptor to be had for a copy.
    struct rlimit all, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &all) == 0);
    none = all;
    none.rlim_cur = 3;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        palimpsest_mutator *own = NULL;
        palimpsest_stats stats = {.size = sizeof stats};
        size_t length = 0;
        CHECK(palimpsest_alloc(mutator, PALIMPSEST_LEAF, 64) == NULL);
        CHECK(palimpsest_last_status() == PALIMPSEST_NO_HEAP_IN_CHILD);
        FAILS(palimpsest_collect(mutator, NULL), PALIMPSEST_NO_HEAP_IN_CHILD, "fork");
        FAILS(palimpsest_attach(heap, false, &own), PALIMPSEST_NO_HEAP_IN_CHILD, "fork");
        FAILS(palimpsest_heap_stats(heap, &stats), PALIMPSEST_NO_HEAP_IN_CHILD, "fork");
        FAILS(palimpsest_weak_map_len(map, &length), PALIMPSEST_NO_HEAP_IN_CHILD, "fork");
        CHECK(palimpsest_handle_get(handle) == NULL);
        OK(palimpsest_weak_map_free(map));
        OK(palimpsest_handle_free(handle));
        OK(palimpsest_detach(mutator));
        OK(palimpsest_heap_free(heap));
        _exit(25);
    }
    CHECK(setrlimit(RLIMIT_NOFILE, &all) == 0);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 25);
    CHECK(marked(mutator) == 1 && palimpsest_handle_get(handle) == object);
    OK(palimpsest_weak_map_free(map));
    OK(palimpsest_handle_free(handle));
    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
}

int main(void)
{
    palimpsest_heap *heap = new_heap();
    palimpsest_mutator *mutator = attach(heap);
    void *object = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 64);
    palimpsest_handle *handle = NULL;
    palimpsest_weak_map *map = NULL;
    OK(palimpsest_handle_new(mutator, object, &handle));
    OK(palimpsest_weak_map_new(mutator, &map));

    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        palimpsest_mutator *own = NULL;
        palimpsest_roots *roots = NULL;
        palimpsest_kind kind = 0;
        size_t length = 0;
        palimpsest_stats stats = {.size = sizeof stats};
        static const uint64_t words[1];
        CHECK(palimpsest_alloc(mutator, PALIMPSEST_LEAF, 64) == NULL);
        CHECK(palimpsest_last_status() == PALIMPSEST_NO_HEAP_IN_CHILD);
        FAILS(palimpsest_collect(mutator, NULL), PALIMPSEST_NO_HEAP_IN_CHILD, "fork");
        FAILS(palimpsest_attach(heap, false, &own), PALIMPSEST_NO_HEAP_IN_CHILD, "fork");
        FAILS(palimpsest_heap_stats(heap, &stats), PALIMPSEST_NO_HEAP_IN_CHILD, "fork");
        FAILS(palimpsest_define_layout(heap, 1, PALIMPSEST_NO_TAIL, &kind), PALIMPSEST_NO_HEAP_IN_CHILD, "fork");
        FAILS(palimpsest_roots_fixed(heap, words, 1, &roots), PALIMPSEST_NO_HEAP_IN_CHILD, "fork");
        FAILS(palimpsest_weak_map_len(map, &length), PALIMPSEST_NO_HEAP_IN_CHILD, "fork");
        CHECK(palimpsest_handle_get(handle) == NULL);
        CHECK(palimpsest_last_status() == PALIMPSEST_NO_HEAP_IN_CHILD);

        OK(palimpsest_weak_map_free(map));
        OK(palimpsest_handle_free(handle));
        OK(palimpsest_detach(mutator));
        OK(palimpsest_heap_free(heap));

        // A heap of its own.
        heap = new_heap();
        mutator = attach(heap);
        CHECK(palimpsest_alloc(mutator, PALIMPSEST_LEAF, 64) != NULL);
        CHECK(marked(mutator) == 0);
        OK(palimpsest_detach(mutator));
        OK(palimpsest_heap_free(heap));
        _exit(23);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 23);

    CHECK(marked(mutator) == 1 && palimpsest_handle_get(handle) == object);
    OK(palimpsest_weak_map_free(map));
    OK(palimpsest_handle_free(handle));
    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));

    // A heap of which children have a copy.
    palimpsest_config *config = palimpsest_config_new();
    OK(palimpsest_config_options(config, "host-fork=copy"));
    heap = heap_with(config);
    mutator = attach(heap);
    uint64_t *word = palimpsest_alloc(mutator, PALIMPSEST_LEAF, 16);
    OK(palimpsest_handle_new(mutator, word, &handle));
    *word = 5;
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(palimpsest_handle_get(handle) == word && *word == 5);
        *word = 6;
        CHECK(marked(mutator) == 1);
        _exit(24);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 24);
    CHECK(*word == 5 && marked(mutator) == 1);
    OK(palimpsest_handle_free(handle));
    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
    refused();
    puts("fork: ok");
    return 0;
}
