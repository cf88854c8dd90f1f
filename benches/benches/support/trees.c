// Binary trees by the C interface: what `interfaces.rs` does in Rust. Compiled by the build script.
#include "palimpsest.h"

struct tree {
    struct tree *left, *right;
};

static struct tree *build_by_call(palimpsest_mutator *mutator, palimpsest_kind kind, unsigned depth)
{
    struct tree *left = depth > 0 ? build_by_call(mutator, kind, depth - 1) : NULL;
    struct tree *right = depth > 0 ? build_by_call(mutator, kind, depth - 1) : NULL;
    struct tree *tree = palimpsest_alloc_uninit(mutator, kind, sizeof *tree);
    if (tree != NULL) {
        tree->left = left;
        tree->right = right;
    }
    return tree;
}

static uint64_t count_by_call(palimpsest_mutator *mutator, const struct tree *tree)
{
    palimpsest_poll(mutator);
    return tree->left == NULL ? 1 : 1 + count_by_call(mutator, tree->left) + count_by_call(mutator, tree->right);
}

// With the fast path that the header has.
static struct tree *build_inline(
    palimpsest_mutator *mutator, const palimpsest_inline_alloc *words, palimpsest_kind kind, unsigned depth)
{
    struct tree *left = depth > 0 ? build_inline(mutator, words, kind, depth - 1) : NULL;
    struct tree *right = depth > 0 ? build_inline(mutator, words, kind, depth - 1) : NULL;
    struct tree *tree = palimpsest_alloc_inline(mutator, words, kind, sizeof *tree);
    if (tree != NULL) {
        tree->left = left;
        tree->right = right;
    }
    return tree;
}

static uint64_t count_inline(
    palimpsest_mutator *mutator, const palimpsest_inline_alloc *words, const struct tree *tree)
{
    palimpsest_poll_inline(mutator, words);
    return tree->left == NULL
               ? 1
               : 1 + count_inline(mutator, words, tree->left) + count_inline(mutator, words, tree->right);
}

static palimpsest_heap *heap;
static palimpsest_mutator *mutator;
static palimpsest_kind kind;
static palimpsest_inline_alloc words;
static palimpsest_handle *keep;

// Attaches the calling thread to a new heap, with a tree that stays. NULL, or what is wrong.
const char *trees_begin(size_t limit, unsigned depth)
{
    palimpsest_config *config = palimpsest_config_new();
    int failed = palimpsest_config_limit(config, limit) || palimpsest_heap_new(config, &heap)
                 || palimpsest_attach(heap, true, &mutator)
                 || palimpsest_define_layout(heap, 3, PALIMPSEST_NO_TAIL, &kind)
                 || palimpsest_inline_alloc_words(mutator, false, &words)
                 || palimpsest_handle_new(mutator, build_by_call(mutator, kind, depth), &keep)
                 || palimpsest_config_free(config);
    return failed ? palimpsest_last_error() : NULL;
}

const char *trees_end(void)
{
    int failed = palimpsest_handle_free(keep) || palimpsest_detach(mutator) || palimpsest_heap_free(heap);
    return failed ? palimpsest_last_error() : NULL;
}

// Both return how many nodes a new tree had.
uint64_t trees_by_call(unsigned depth)
{
    return count_by_call(mutator, build_by_call(mutator, kind, depth));
}

uint64_t trees_inline(unsigned depth)
{
    return count_inline(mutator, &words, build_inline(mutator, &words, kind, depth));
}
