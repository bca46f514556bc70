#include "bench/peer/peer.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>

#define BATCH 256 /* messages between two turns of the host */

const char *publisher_start(peer *p, const json_t *request) {
  publisher *b = &p->publisher;
  const json_t *rate = json_object_get(request, "rate");
  if (b->running) return "a run is going on";
  if (!p->counted.v) return "not subscribed";
  b->seed = (uint32_t)number_of(request, "seed", 0);
  b->count = number_of(request, "count", 0);
  b->size = number_of(request, "size", 0);
  b->window = number_of(request, "window", 0);
  b->rate = json_is_number(rate) ? json_number_value(rate) : 0;
  b->receivers = number_of(request, "receivers", 1);
  if (b->size < PAYLOAD_HEADER) return "size: at least 16";
  if (b->size > p->max_message - 1024) return "size: with its envelope such a message is larger than max_msg";
  if (b->count == 0) return "count: at least 1";
  if (!isfinite(b->rate) || b->rate < 0 || b->rate > 1e8) return "rate: 0 to 100000000";
  if (b->rate <= 0 && b->window == 0) return "window: at least 1 in a closed loop";
  if (b->receivers > CREDIT_CONNS) return "receivers: at most 64";
  b->payload = grow(b->payload, b->size, 1);
  uint64_t x = 1; /* the pattern is the same in every run */
  for (size_t i = 0; i < b->size; i++) {
    x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    b->payload[i] = (uint8_t)(x >> 56);
  }
  for (int i = 0; i < 4; i++) b->payload[i] = (uint8_t)(b->seed >> (24 - 8 * i));
  b->topic = p->counted;
  b->i = b->retries = b->late_ns = 0;
  b->refused = false;
  b->started = mono_ns();
  b->first_due = b->started + 1000000;
  b->running = true;
  return NULL;
}

static uint64_t due(const publisher *b) { return b->first_due + (uint64_t)((double)b->i * 1e9 / b->rate); }

/* Kernel timers of this kind have no slack: the loop wakes when the message is due, and sleeps until then. */
static void arm(const publisher *b) {
  uint64_t at = due(b);
  struct itimerspec when = { .it_value = { .tv_sec = (time_t)(at / 1000000000),
                                           .tv_nsec = (long)(at % 1000000000) } };
  if (timerfd_settime(b->timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
    event_error("timer: %s", strerror(errno));
}

static bool publish_one(const peer *p, publisher *b, const msub_now *now) {
  uint64_t stamp = mono_ns();
  for (int i = 0; i < 4; i++) b->payload[4 + i] = (uint8_t)(b->i >> (24 - 8 * i));
  for (int i = 0; i < 8; i++) b->payload[8 + i] = (uint8_t)(stamp >> (56 - 8 * i));
  msub_engine *e = msub_host_engine(p->nodes[0].host);
  int err = msub_publish(e, b->topic, (msub_bytes){ b->payload, b->size }, now, NULL);
  if (err == MSUB_OK) {
    b->i++;
    return true;
  }
  if (err == MSUB_ERR_LIMIT) {
    b->retries++;
    b->refused = true;
  } else {
    event_error("message %llu cannot be published: %s", (unsigned long long)b->i, msub_err_text(err));
    b->running = false;
  }
  return false;
}

static void finish(publisher *b) {
  json_t *j = json_object();
  json_object_set_new(j, "seed", json_integer(b->seed));
  json_object_set_new(j, "n", json_integer((json_int_t)b->i));
  json_object_set_new(j, "ns", json_integer((json_int_t)(mono_ns() - b->started)));
  json_object_set_new(j, "retries", json_integer((json_int_t)b->retries));
  json_object_set_new(j, "late_ns", json_integer((json_int_t)b->late_ns));
  event("published", j);
  b->running = false;
}

static bool closed_loop(const peer *p, publisher *b) {
  const msub_now *now = msub_host_now(p->nodes[0].host);
  uint64_t reached = 0, until = b->count;
  if (!credit_of(&p->credit, b->seed, b->receivers, &reached)) return false;
  if (reached < b->count && b->window < b->count - reached) until = reached + b->window;
  for (int n = 0; n < BATCH && b->i < until; n++)
    if (!publish_one(p, b, now)) return false;
  return b->i < until;
}

static bool open_loop(const peer *p, publisher *b) {
  for (int n = 0; n < BATCH && b->i < b->count; n++) {
    uint64_t at = due(b), now = mono_ns();
    if (now < at) {
      arm(b);
      return false;
    }
    if (now - at > b->late_ns) b->late_ns = now - at;
    if (!publish_one(p, b, msub_host_now(p->nodes[0].host))) return false;
  }
  return true;
}

bool publisher_work(peer *p) {
  publisher *b = &p->publisher;
  if (!b->running) return false;
  b->refused = false;
  bool more = b->rate > 0 ? open_loop(p, b) : closed_loop(p, b);
  if (b->running && b->i == b->count) finish(b);
  return more && b->running;
}
