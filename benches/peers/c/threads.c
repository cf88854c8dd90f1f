#include "threads.h"

#include <stdlib.h>
#include <string.h>

#include "workloads.h"

struct task {
    void (*work)(unsigned, void *);
    void *data;
    unsigned thread;
};

void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, NAME ": %s: %s\n", what, strerror(error));
        exit(1);
    }
}

static void *run(void *data)
{
    struct task *task = data;
    task->work(task->thread, task->data);
    return NULL;
}

void on_each(unsigned threads, void (*work)(unsigned, void *), void *data)
{
    struct task tasks[MOST_THREADS];
    pthread_t ids[MOST_THREADS];
    for (unsigned k = 1; k < threads; k++) {
        tasks[k] = (struct task){work, data, k};
        must(pthread_create(&ids[k], NULL, run, &tasks[k]), "starting a thread");
    }
    work(0, data);
    for (unsigned k = 1; k < threads; k++)
        must(pthread_join(ids[k], NULL), "waiting for a thread");
}
