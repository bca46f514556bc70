/* Benchmarks without nodes: the engine and its router in this process (bench/engine). */
#ifndef BENCH_ALONE_H
#define BENCH_ALONE_H
#include "bench/measure.h"
#include "cli/options.h"

bool alone_is(const char *id);
const char *alone_at(size_t i); /* ids, each as often as it has variants; NULL: past the end */
void alone_list(void);
/* Runs all variants of these ids and prints them. false: a repetition failed. */
bool alone_run(const text_list *ids, unsigned reps, bool json);
/* Sets a path up and takes n units through it, for who counts instructions. -1: there is no such path. */
int alone_work(const char *id, unsigned n);
#endif
