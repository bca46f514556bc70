/* crash.store-kill [KILLS]: a process with a store is killed at any moment, at work, while it opens, while it compacts; again and again on the same
 * folder. Every batch that was told is there, in order, whole. */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/rng.h"
#include "disk_kit.h"
#include "store_work.h"

/* Written by the child before a batch is submitted, and when it was told. */
typedef struct seen {
  volatile uint64_t begun, told, compacted;
} seen;

static seen *shared;

static void on_durable(void *ud, msub_token token, int result) {
  (void)ud;
  if (result != MSUB_OK) work_broken("the child", "batch %u: %s", (unsigned)token.v, msub_err_name(result));
  if (token.v) shared->told = token.v;
}

static void turn(msub_store s, struct pollfd *p) {
  const msub_now now = { 1, 0 };
  (void)poll(p, 1, 1);
  s.ops->turn(s.s, &now);
}

_Noreturn static void child(disk_kit *k, bool compacts) {
  char why[MSUB_STORE_WHY];
  uint64_t before, after;
  for (unsigned i = 0; compacts && i < 3; i++) {
    if (msub_store_disk_compact(&k->o, &before, &after, why) != MSUB_OK) work_broken("the child", "%s", why);
    shared->compacted++;
  }
  if (disk_kit_open(k, why) != MSUB_OK) work_broken("the child", "%s", why);
  msub_store s = k->kit.store;
  struct pollfd p = { .fd = msub_store_disk_fd(k->disk), .events = POLLIN };
  s.ops->listen(s.s, on_durable, NULL);
  uint64_t i = work_check(s, shared->told, shared->begun, "the child");
  for (;;) {
    while (i - shared->told >= 20) turn(s, &p);
    if (++i > shared->begun) shared->begun = i;
    while (work_submit(s, i, i) != MSUB_OK) turn(s, &p);
    if (i % 4 == 0) turn(s, &p);
  }
}

static void pause_us(uint32_t us) {
  struct timespec t = { us / 1000000, (long)(us % 1000000) * 1000 };
  (void)nanosleep(&t, NULL);
}

int main(int argc, char **argv) {
  static disk_kit kit;
  unsigned long kills = argc > 1 ? strtoul(argv[1], NULL, 10) : 250;
  char why[MSUB_STORE_WHY];
  uint64_t had = 0, moved = 0;
  uint32_t window = 40000; /* µs that a child has at most */
  msub__rng r;
  msub__rng_init(&r, (uint64_t)time(NULL), 0);
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 1;
  disk_kit_init(&kit);
  for (unsigned long i = 0; i < kills; i++) {
    pid_t pid = fork();
    if (pid == 0) child(&kit, i % 5 == 4);
    pause_us(msub__rng_below(&r, i % 3 == 0 ? window / 12 : window));
    (void)kill(pid, SIGKILL);
    int status;
    (void)waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) work_broken("the child", "ended by itself");
    char where[32];
    (void)snprintf(where, sizeof where, "kill %lu", i + 1);
    if (disk_kit_open(&kit, why) != MSUB_OK) work_broken(where, "%s", why);
    uint64_t at = work_check(kit.kit.store, shared->told, shared->begun, where);
    if (at < had) work_broken(where, "batch %u was there before", (unsigned)had);
    moved += at > had;
    if (at > had) window = window > 44000 ? window - 4000 : 40000;
    else if (i % 3 && window < 1000000) window += 20000; /* a slow machine, or a sanitizer's */
    had = shared->told = at;
    if (msub_store_disk_free(kit.disk) != MSUB_OK) work_broken(where, "it cannot be closed");
  }
  printf("%lu kills, %u of them in work, %u compactions, %u batches: none lost, none torn\n", kills, (unsigned)moved, (unsigned)shared->compacted, (unsigned)had);
  disk_kit_remove(&kit);
  return moved * 4 >= kills ? 0 : 1;
}
