// The allocation fast path in C: what it makes is what the collector makes.
#include "check.h"

struct node {
    struct node *next;
    uint64_t number;
    char padding[9];
};

struct words {
    palimpsest_mutator *mutator;
    palimpsest_inline_alloc words;
};

static void allocate(void *data)
{
    struct words *own = data;
    CHECK(palimpsest_alloc_inline(own->mutator, &own->words, PALIMPSEST_LEAF, 16) == NULL);
    CHECK(palimpsest_last_status() == PALIMPSEST_BLOCKED);
}

// The world may be stopped in a blocking region: the fast path is closed there.
static void allocate_in_a_blocking_region(palimpsest_mutator *mutator)
{
    struct words own = {.mutator = mutator};
    OK(palimpsest_inline_alloc_words(mutator, true, &own.words));
    CHECK(palimpsest_alloc_inline(mutator, &own.words, PALIMPSEST_LEAF, 16) != NULL);
    OK(palimpsest_blocking(mutator, allocate, &own));
    CHECK(palimpsest_alloc_inline(mutator, &own.words, PALIMPSEST_LEAF, 16) != NULL);
    OK(palimpsest_step_out(mutator));
    allocate(&own);
    OK(palimpsest_step_in(mutator));
}

int main(void)
{
    palimpsest_config *config = palimpsest_config_new();
    OK(palimpsest_config_options(config, "verify=on,cycle-every=1M"));
    palimpsest_heap *heap = heap_with(config);
    palimpsest_mutator *mutator = attach(heap);
    allocate_in_a_blocking_region(mutator);
    palimpsest_kind kind = 0;
    OK(palimpsest_define_layout(heap, 1, 2, &kind));
    palimpsest_inline_alloc traced, leaf;
    OK(palimpsest_inline_alloc_words(mutator, false, &traced));
    OK(palimpsest_inline_alloc_words(mutator, true, &leaf));

    palimpsest_handle *handle = NULL;
    struct node *head = NULL;
    uint64_t longest = 0;
    for (uint64_t number = 0; number < 100000; number++) {
        palimpsest_poll_inline(mutator, &traced);
        // 25 bytes have two granules; their last word is traced, by the tail, and cleared by the path.
        size_t bytes = number % 7 == 0 ? PALIMPSEST_SMALL_MAX : 25;
        bytes = number % 1000 == 0 ? bytes : 25;
        struct node *node = palimpsest_alloc_inline(mutator, &traced, kind, bytes);
        CHECK(node != NULL && (uintptr_t)node % 16 == 0);
        memset(node, 0, bytes);
        node->next = head;
        node->number = number;
        head = node;
        if (handle == NULL)
            OK(palimpsest_handle_new(mutator, node, &handle));
        else
            OK(palimpsest_handle_set(mutator, handle, node));
        char *bytes_of_leaf = palimpsest_alloc_inline(mutator, &leaf, PALIMPSEST_LEAF, 1 + number % 100);
        CHECK(bytes_of_leaf != NULL);
        memset(bytes_of_leaf, 0xff, 1 + number % 100);
        longest = number;
    }
    // Also what is too large for the path, or has no size.
    CHECK(palimpsest_alloc_inline(mutator, &leaf, PALIMPSEST_LEAF, (size_t)1 << 20) != NULL);
    CHECK(palimpsest_alloc_inline(mutator, &leaf, PALIMPSEST_LEAF, 0) != NULL);
    CHECK(palimpsest_alloc_inline(mutator, &leaf, PALIMPSEST_LEAF, SIZE_MAX) == NULL);
    CHECK(palimpsest_last_status() == PALIMPSEST_OUT_OF_MEMORY);
    CHECK(marked(mutator) == 100000);
    for (struct node *node = head; node != NULL; node = node->next)
        CHECK(node->number == longest--);

    // Without a safepoint: no cycle is waited for where there is no room.
    OK(palimpsest_handle_free(handle));
    CHECK(palimpsest_alloc_no_safepoint(mutator, PALIMPSEST_LEAF, 16) != NULL);
    CHECK(palimpsest_alloc_no_safepoint(mutator, PALIMPSEST_LEAF, (size_t)1 << 30) == NULL);
    CHECK(palimpsest_last_status() == PALIMPSEST_OUT_OF_MEMORY);
    OK(palimpsest_detach(mutator));
    OK(palimpsest_heap_free(heap));
    puts("inline: ok");
    return 0;
}
