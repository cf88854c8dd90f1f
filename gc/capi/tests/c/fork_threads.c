// A thread makes things and frees them all the time, while another one forks: the children do both as well.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_bool done;

static void *make_and_free(void *unused)
{
    (void)unused;
    while (!atomic_load(&done))
        OK(palimpsest_config_free(palimpsest_config_new()));
    return NULL;
}

int main(void)
{
    pthread_t thread;
    palimpsest_config *kept = palimpsest_config_new();
    CHECK(pthread_create(&thread, NULL, make_and_free, NULL) == 0);
    for (int k = 0; k < 300; k++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(10);
            palimpsest_config *own = palimpsest_config_new();
            CHECK(own != NULL && own != kept);
            OK(palimpsest_config_free(own));
            OK(palimpsest_config_free(kept));
            _exit(0);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&done, true);
    CHECK(pthread_join(thread, NULL) == 0);
    OK(palimpsest_config_free(kept));
    puts("fork_threads: ok");
    return 0;
}
