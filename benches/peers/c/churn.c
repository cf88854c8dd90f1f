// Short-lived objects beside a live heap of any size, with as many writes to old objects as asked for.
#include "random.h"
#include "threads.h"
#include "workloads.h"

// Nodes of a tree: a root, its four children, and theirs. Such trees in a MiB; operations for each node, if no number is given.
enum { TREE = 1 + 4 + 16, TREES_PER_MIB = (1 << 20) / (TREE * 64), OPS_PER_NODE = 2 };

struct node {
    struct node *children[4];
    // Where operations write: nothing at first, and then the root of some tree.
    struct node *other;
    uint64_t id, words[2];
};

// The roots of all trees; each thread has a part of them for itself.
static struct node **table;

struct work {
    uint64_t trees, ops, writes;
    unsigned threads;
    uint64_t sums[MOST_THREADS];
    struct latency *latencies[MOST_THREADS];
};

static uint64_t share(uint64_t all, unsigned thread, const struct work *work) { return all * thread / work->threads; }

static struct node *new_node(struct node *const *children, uint64_t id)
{
    struct node *node = new_object(sizeof *node);
    *node = (struct node){{children[0], children[1], children[2], children[3]}, NULL, id, {0}};
    return node;
}

static void build(unsigned thread, void *data)
{
    struct work *work = data;
    struct node *none[4] = {NULL}, *leaves[4], *children[4];
    for (uint64_t tree = share(work->trees, thread, work); tree < share(work->trees, thread + 1, work); tree++) {
        uint64_t first = tree * TREE;
        for (uint64_t place = 0; place < 4; place++) {
            for (uint64_t leaf = 0; leaf < 4; leaf++)
                leaves[leaf] = new_node(none, first + 5 + place * 4 + leaf);
            children[place] = new_node(leaves, first + 1 + place);
        }
        table[tree] = new_node(children, first);
    }
}

// Any node of these trees.
static struct node *any_node(uint64_t first, uint64_t count, struct random *random)
{
    struct node *root = table[first + below(random, count)];
    uint64_t place = below(random, TREE);
    if (place == 0)
        return root;
    return place < 5 ? root->children[place - 1] : root->children[(place - 5) / 4]->children[(place - 5) % 4];
}

static void operate(unsigned thread, void *data)
{
    struct work *work = data;
    uint64_t first = share(work->trees, thread, work), count = share(work->trees, thread + 1, work) - first;
    uint64_t ops = share(work->ops, thread + 1, work) - share(work->ops, thread, work), sum = 0;
    struct random random = random_of(thread);
    struct latency *latency = latency_start(work->threads);
    struct node *last = NULL;
    for (uint64_t op = 0; op < ops; op++) {
        struct node *children[4] = {table[first + below(&random, count)]};
        struct node *node = new_node(children, op);
        if (last != NULL) {
            sum += last->id + last->children[0]->id;
            drop(last);
        }
        if (below(&random, 1000) < work->writes) {
            struct node *old = any_node(first, count, &random);
            if (old->other != NULL)
                sum += old->other->id;
            old->other = children[0];
        }
        last = node;
        latency_lap(latency);
    }
    work->sums[thread] = sum;
    work->latencies[thread] = latency;
}

struct outcome churn(const uint64_t *sizes)
{
    struct work work = {.trees = sizes[0] * TREES_PER_MIB, .writes = sizes[1], .threads = (unsigned)sizes[3]};
    work.ops = sizes[2] > 0 ? sizes[2] : work.trees * TREE * OPS_PER_NODE;
    table = new_table(work.trees);
    uint64_t start = now();
    on_each(work.threads, build, &work);
    double build_s = (double)(now() - start) / SECOND;

    on_each(work.threads, operate, &work);
    uint64_t sum = 0;
    struct latency *latency = latency_start(work.threads);
    for (unsigned k = 0; k < work.threads; k++) {
        sum += work.sums[k];
        latency_merge(latency, work.latencies[k]);
    }
    return (struct outcome){.checksum = sum, .build_s = build_s, .latency = latency};
}
