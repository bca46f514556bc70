#include "cli/ipns_wait.h"
#include <stdlib.h>

waiter *wait_begin(node *n, waits who, uint64_t ticket) {
  waiter *w = take(sizeof *w);
  *w = (waiter){ .n = n, .next = n->waiters, .before = &n->waiters, .who = who, .ticket = ticket, .since_ns = mono_ns() };
  if (w->next) w->next->before = &w->next;
  n->waiters = w;
  return w;
}

void wait_end(waiter *w) {
  *w->before = w->next;
  if (w->next) w->next->before = w->before;
  free(w);
}

void wait_gone(node *n, waits who, uint64_t ticket) {
  waiter *w = n->waiters;
  while (w && (w->who != who || w->ticket != ticket)) w = w->next;
  if (!w) return;
  w->who = WAITS_NOBODY;
  if (!w->asked.v) return;
  msub_names_cancel(ipns_names(n->ipns), w->asked);
  wait_end(w);
}

void wait_end_all(node *n) {
  while (n->waiters) wait_end(n->waiters);
}
