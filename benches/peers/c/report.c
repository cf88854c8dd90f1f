#include "report.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "heap.h"

static double seconds(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

static const struct {
    const char *name;
    double portion;
} QUANTILES[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}};

static void print_latency(const char *prefix, const struct latency *latency)
{
    for (size_t k = 0; k < sizeof QUANTILES / sizeof *QUANTILES; k++)
        printf("\"%s%s\":%.6f,", prefix, QUANTILES[k].name, latency_quantile_ms(latency, QUANTILES[k].portion));
    printf("\"%smax\":%.6f", prefix, (double)latency->longest / 1e6);
}

void report(const char *workload, const char *params, double wall_s, const struct outcome *outcome)
{
    const struct latency *latency = outcome->latency;
    // A server's requests are slow where they were worked at for long: those that waited behind them are in the histogram.
    const struct latency *slow = outcome->service != NULL ? outcome->service : latency;
    const char *peer = getenv("PEER");
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"peer\":\"%s\",\"workload\":\"%s\",\"params\":\"%s\",\"wall_s\":%.4f,\"cpu_s\":%.4f,\"peak_rss_mib\":%.1f,",
           peer != NULL ? peer : NAME, workload, params, wall_s, seconds(usage.ru_utime) + seconds(usage.ru_stime),
           (double)usage.ru_maxrss / 1024);
    heap_report(stdout);
    if (outcome->build_s > 0)
        printf("\"build_s\":%.4f,", outcome->build_s);
    printf("\"latency_ms\":{");
    if (latency != NULL)
        print_latency("", latency);
    if (outcome->service != NULL) {
        printf(",");
        print_latency("service ", outcome->service);
    }
    printf("},");
    if (latency != NULL)
        printf("\"max_pause_ms\":%.6f,\"p999_ms\":%.6f,\"p99_ms\":%.6f,\"p50_ms\":%.6f,", (double)latency->longest / 1e6,
               latency_quantile_ms(latency, 0.999), latency_quantile_ms(latency, 0.99), latency_quantile_ms(latency, 0.5));
    printf("\"slow_ops_ms\":");
    print_spans(stdout, slow != NULL ? slow->slow : NULL, slow != NULL ? slow->slow_count : 0);
    printf(",\"slow_ops_left_out\":%llu,\"checksum\":%llu}\n",
           (unsigned long long)(slow != NULL ? slow->slow_left_out : 0), (unsigned long long)outcome->checksum);
}
