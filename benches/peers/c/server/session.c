#include "server/session.h"

// Entries of a history, always; chains of a map, and keys there are.
enum { HISTORY = 16, CHAINS = 8, KEYS = 16 };

// One request of the past.
struct entry {
    struct entry *next;
    uint64_t *text;
    uint64_t value, number;
};

// What a map has for a key.
struct pair {
    struct pair *next;
    uint64_t *text;
    uint64_t key, hits;
};

struct session {
    struct entry *oldest, *newest;
    struct pair **chains;
};

static struct entry *new_entry(struct random *random, uint64_t value, uint64_t number)
{
    uint64_t *text = new_words(text_len(random), value);
    struct entry *entry = new_object(sizeof *entry);
    *entry = (struct entry){NULL, text, value, number};
    return entry;
}

static void append(struct session *session, struct entry *entry)
{
    session->newest->next = entry;
    session->newest = entry;
}

struct session *session_open(struct random *random)
{
    struct pair **chains = new_object(CHAINS * sizeof *chains);
    for (int k = 0; k < CHAINS; k++)
        chains[k] = NULL;
    struct entry *first = new_entry(random, 0, 0);
    struct session *session = new_object(sizeof *session);
    *session = (struct session){first, first, chains};
    for (uint64_t number = 1; number < HISTORY; number++) {
        uint64_t value = next(random);
        append(session, new_entry(random, value, number));
    }
    return session;
}

uint64_t session_remember(struct session *session, struct random *random, uint64_t value, uint64_t number)
{
    append(session, new_entry(random, value, number));
    struct entry *oldest = session->oldest;
    session->oldest = oldest->next;
    uint64_t sum = oldest->value + read_words(oldest->text);
    drop(oldest->text);
    drop(oldest);
    return sum;
}

uint64_t session_enter(struct session *session, struct random *random, uint64_t value)
{
    uint64_t key = value % KEYS, *text = new_words(text_len(random), value);
    struct pair **chain = &session->chains[key % CHAINS], *pair = *chain;
    while (pair != NULL && pair->key != key)
        pair = pair->next;
    if (pair != NULL) {
        uint64_t *old = pair->text;
        pair->text = text;
        uint64_t sum = read_words(old) + ++pair->hits;
        drop(old);
        return sum;
    }
    pair = new_object(sizeof *pair);
    *pair = (struct pair){*chain, text, key, 0};
    *chain = pair;
    return 0;
}

uint64_t session_recall(const struct session *session)
{
    uint64_t sum = 0;
    for (const struct entry *entry = session->oldest; entry != NULL; entry = entry->next)
        sum = sum * 31 + (entry->value ^ entry->number);
    return sum;
}
