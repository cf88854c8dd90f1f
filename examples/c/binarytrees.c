// Binary trees: the allocation rate of the smallest objects, by the C interface. The same work, and the same checksum, as
// `workload binarytrees DEPTH THREADS` of the benches.
//
// usage: binarytrees DEPTH [call|inline]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "palimpsest.h"

struct tree {
    struct tree *left, *right;
};

static palimpsest_mutator *mutator;
static palimpsest_kind kind;
static palimpsest_inline_alloc words;

static void fail(const char *why)
{
    fprintf(stderr, "binarytrees: %s\n", why);
    exit(1);
}

static void must(palimpsest_status status)
{
    if (status != PALIMPSEST_OK)
        fail(palimpsest_last_error());
}

// By calls of the library.
static struct tree *build_by_call(unsigned depth)
{
    struct tree *left = depth > 0 ? build_by_call(depth - 1) : NULL;
    struct tree *right = depth > 0 ? build_by_call(depth - 1) : NULL;
    struct tree *tree = palimpsest_alloc_uninit(mutator, kind, sizeof *tree);
    if (tree == NULL)
        fail(palimpsest_last_error());
    tree->left = left;
    tree->right = right;
    return tree;
}

static uint64_t count_by_call(const struct tree *tree)
{
    palimpsest_poll(mutator);
    return tree->left == NULL ? 1 : 1 + count_by_call(tree->left) + count_by_call(tree->right);
}

// By the fast path of the header.
static struct tree *build_inline(unsigned depth)
{
    struct tree *left = depth > 0 ? build_inline(depth - 1) : NULL;
    struct tree *right = depth > 0 ? build_inline(depth - 1) : NULL;
    struct tree *tree = palimpsest_alloc_inline(mutator, &words, kind, sizeof *tree);
    if (tree == NULL)
        fail(palimpsest_last_error());
    tree->left = left;
    tree->right = right;
    return tree;
}

static uint64_t count_inline(const struct tree *tree)
{
    palimpsest_poll_inline(mutator, &words);
    return tree->left == NULL ? 1 : 1 + count_inline(tree->left) + count_inline(tree->right);
}

static uint64_t run(unsigned max, struct tree *(*build)(unsigned), uint64_t (*count)(const struct tree *))
{
    uint64_t sum = count(build(max + 1));
    struct tree *keep = build(max);
    palimpsest_handle *handle;
    must(palimpsest_handle_new(mutator, keep, &handle));
    for (unsigned depth = 4; depth <= max; depth += 2) {
        uint64_t nodes = 0;
        for (unsigned trees = 1u << (max - depth + 4); trees > 0; trees--)
            nodes += count(build(depth));
        sum += depth * nodes;
    }
    sum += count(keep);
    must(palimpsest_handle_free(handle));
    return sum;
}

int main(int arguments, char **argument)
{
    char *end = NULL;
    unsigned long depth = arguments > 1 ? strtoul(argument[1], &end, 10) : 0;
    int is_inline = arguments < 3 || strcmp(argument[2], "inline") == 0;
    if (depth < 4 || depth > 30 || *end != 0 || (!is_inline && strcmp(argument[2], "call") != 0)) {
        fprintf(stderr, "usage: binarytrees DEPTH [call|inline], DEPTH from 4 to 30\n");
        return 64;
    }
    palimpsest_heap *heap;
    palimpsest_config *config = palimpsest_config_new();
    must(palimpsest_heap_new(config, &heap));
    must(palimpsest_config_free(config));
    must(palimpsest_attach(heap, true, &mutator));
    must(palimpsest_define_layout(heap, 3, PALIMPSEST_NO_TAIL, &kind));
    must(palimpsest_inline_alloc_words(mutator, false, &words));

    struct timespec begin, done;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    uint64_t sum = is_inline ? run((unsigned)depth, build_inline, count_inline)
                             : run((unsigned)depth, build_by_call, count_by_call);
    clock_gettime(CLOCK_MONOTONIC, &done);
    double seconds = (double)(done.tv_sec - begin.tv_sec) + (double)(done.tv_nsec - begin.tv_nsec) / 1e9;

    palimpsest_stats stats = {.size = sizeof stats};
    must(palimpsest_heap_stats(heap, &stats));
    printf("{\"name\":\"binarytrees\",\"interface\":\"c-%s\",\"depth\":%lu,\"checksum\":%llu,\"seconds\":%.6f,"
           "\"cycles\":%llu,\"pause_max_ms\":%.3f}\n",
           is_inline ? "inline" : "call", depth, (unsigned long long)sum, seconds, (unsigned long long)stats.cycles,
           stats.pause_max_ms);
    must(palimpsest_detach(mutator));
    must(palimpsest_heap_free(heap));
    return 0;
}
