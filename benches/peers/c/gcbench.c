// GCBench, after Ellis, Kovac and Boehm: how fast trees of every size come and go beside a live one.
#include "heap.h"
#include "workloads.h"

enum { DOUBLES = 4000000 };

struct tree {
    struct tree *left, *right;
    int32_t i, j;
};

static struct tree *keep;
static double *doubles;

static struct tree *node(struct tree *left, struct tree *right, int32_t i, int32_t j)
{
    struct tree *tree = new_object(sizeof *tree);
    *tree = (struct tree){left, right, i, j};
    return tree;
}

// Grows a tree of this depth below `tree`.
static void top_down(int depth, struct tree *tree)
{
    if (depth <= 0)
        return;
    tree->left = node(NULL, NULL, depth - 1, tree->j * 2);
    tree->right = node(NULL, NULL, depth - 1, tree->j * 2 + 1);
    top_down(depth - 1, tree->left);
    top_down(depth - 1, tree->right);
}

// A new tree of this depth, children first.
static struct tree *bottom_up(int depth, int32_t j)
{
    if (depth <= 0)
        return node(NULL, NULL, 0, j);
    struct tree *left = bottom_up(depth - 1, j * 2), *right = bottom_up(depth - 1, j * 2 + 1);
    return node(left, right, depth, j);
}

static void drop_tree(struct tree *tree)
{
    if (MANUAL && tree != NULL) {
        drop_tree(tree->left);
        drop_tree(tree->right);
        drop(tree);
    }
}

static uint64_t read(const struct tree *tree) { return (uint64_t)(int64_t)((tree->i ^ tree->j) + 1); }

// Sums a walk to a leaf that turns by the bits of `turns`.
static uint64_t path(const struct tree *tree, uint64_t turns)
{
    uint64_t sum = 0;
    for (; tree != NULL; turns >>= 1) {
        sum += read(tree);
        tree = turns & 1 ? tree->right : tree->left;
    }
    return sum;
}

static uint64_t total(const struct tree *tree)
{
    return tree == NULL ? 0 : read(tree) + total(tree->left) + total(tree->right);
}

static uint64_t size(int depth) { return ((uint64_t)2 << depth) - 1; }

struct outcome gcbench(const uint64_t *sizes)
{
    int live = (int)sizes[0], max = (int)sizes[1];
    struct tree *tree = bottom_up(max, 0);
    uint64_t sum = path(tree, 0);
    drop_tree(tree);

    keep = node(NULL, NULL, live, 0);
    top_down(live, keep);
    doubles = new_leaf_table(DOUBLES);
    for (int k = 1; k < DOUBLES / 2; k++)
        doubles[k] = 1.0 / k;

    for (int depth = 4; depth <= max; depth += 2) {
        uint64_t trees = 2 * size(max) / size(depth);
        for (uint64_t which = 0; which < trees; which++) {
            tree = node(NULL, NULL, depth, 0);
            top_down(depth, tree);
            sum += path(tree, which);
            drop_tree(tree);
        }
        for (uint64_t which = 0; which < trees; which++) {
            tree = bottom_up(depth, 0);
            sum += path(tree, which);
            drop_tree(tree);
        }
    }
    return (struct outcome){.checksum = sum + total(keep) + (uint64_t)(doubles[1000] * 1e6)};
}
