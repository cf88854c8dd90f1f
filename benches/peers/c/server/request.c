// A request: text that is parsed, looked at, and answered from the session.
#include "server/session.h"

// Nodes of the smallest tree, and how many sizes there are; words of the shortest answer, and how many lengths there are.
enum { LEAST_NODES = 20, SIZES = 11, LEAST_ANSWER = 32, ANSWERS = 33 };

// A node of what was parsed.
struct node {
    struct node *left, *right;
    uint64_t *text;
    uint64_t value;
};

// A tree of so many nodes, children first.
static struct node *parse(struct random *random, uint64_t nodes)
{
    if (nodes == 0)
        return NULL;
    uint64_t len = text_len(random);
    uint64_t *text = new_words(len, next(random)), of_left = below(random, nodes);
    struct node *left = parse(random, of_left), *right = parse(random, nodes - 1 - of_left);
    struct node *node = new_object(sizeof *node);
    *node = (struct node){left, right, text, nodes};
    return node;
}

static uint64_t evaluate(const struct node *node)
{
    if (node == NULL)
        return 0;
    uint64_t left = evaluate(node->left), right = evaluate(node->right);
    return node->value + read_words(node->text) + left * 3 + right * 5;
}

static void drop_tree(struct node *node)
{
    if (MANUAL && node != NULL) {
        drop_tree(node->left);
        drop_tree(node->right);
        drop(node->text);
        drop(node);
    }
}

uint64_t serve(struct session *session, struct random *random, uint64_t number)
{
    struct node *tree = parse(random, LEAST_NODES + below(random, SIZES));
    uint64_t value = evaluate(tree);
    uint64_t dropped = session_remember(session, random, value, number);
    uint64_t replaced = session_enter(session, random, value);
    uint64_t len = LEAST_ANSWER + below(random, ANSWERS), *answer = new_words(len, session_recall(session));
    uint64_t sum = value + dropped + replaced + read_words(answer);
    drop(answer);
    drop_tree(tree);
    return sum;
}
