// The Benchmarks Game's binary-trees: nothing but small short-lived objects, on one thread or several.
#include "threads.h"
#include "workloads.h"

struct tree {
    struct tree *left, *right;
};

static struct tree *keep;

static struct tree *build(int depth)
{
    struct tree *left = depth > 0 ? build(depth - 1) : NULL, *right = depth > 0 ? build(depth - 1) : NULL;
    struct tree *tree = new_object(sizeof *tree);
    *tree = (struct tree){left, right};
    return tree;
}

static uint64_t count(const struct tree *tree)
{
    return tree->left == NULL ? 1 : 1 + count(tree->left) + count(tree->right);
}

static void drop_tree(struct tree *tree)
{
    if (MANUAL && tree != NULL) {
        drop_tree(tree->left);
        drop_tree(tree->right);
        drop(tree);
    }
}

static uint64_t count_and_drop(int depth)
{
    struct tree *tree = build(depth);
    uint64_t nodes = count(tree);
    drop_tree(tree);
    return nodes;
}

struct work {
    unsigned threads;
    int depth;
    uint32_t trees;
    uint64_t nodes[MOST_THREADS];
};

static void share(unsigned thread, void *data)
{
    struct work *work = data;
    uint64_t nodes = 0;
    for (uint32_t tree = thread; tree < work->trees; tree += work->threads)
        nodes += count_and_drop(work->depth);
    work->nodes[thread] = nodes;
}

struct outcome binarytrees(const uint64_t *sizes)
{
    int max = (int)sizes[0];
    uint64_t sum = count_and_drop(max + 1);
    keep = build(max);
    for (int depth = 4; depth <= max; depth += 2) {
        struct work work = {(unsigned)sizes[1], depth, (uint32_t)1 << (max - depth + 4), {0}};
        on_each(work.threads, share, &work);
        for (unsigned k = 0; k < work.threads; k++)
            sum += (uint64_t)depth * work.nodes[k];
    }
    return (struct outcome){.checksum = sum + count(keep)};
}
