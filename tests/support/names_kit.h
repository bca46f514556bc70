/* tests/support/names_kit.h: a world of names for each file that has this, and short words for what tests say of it. */
#ifndef MSUB_TESTS_NAMES_KIT_H
#define MSUB_TESTS_NAMES_KIT_H
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "meshsub/guard.h"
#include "names_world.h"

#define MS MSUB_SIM_MS
#define S MSUB_SIM_S
#define HOUR (3600 * S)
#define DAY_NS INT64_C(86400000000000)
#define RTT (20 * MS)
#define NONE ((msub_bytes){ NULL, 0 })

static names_world w; /* of the file */

static inline void begin(uint32_t nodes) {
  names_world_init(&w);
  names_world_start(&w, nodes);
}
static const names_change none_yet;
static inline const names_change *last_change(uint32_t i) { return w.node[i].n_log ? &w.node[i].log[w.node[i].n_log - 1] : &none_yet; }
static inline const msub_names_counts *count(uint32_t i) { return msub_names_count(w.node[i].n); }
static inline int resolve(uint32_t i, uint8_t key, uint64_t within, names_outcome *o) {
  *o = (names_outcome){ 0 };
  return msub_names_resolve(w.node[i].n, names_id(key), msub_sim_time(w.s) + within, names_now(&w, i), names_resolved, o, NULL, NULL);
}
static inline int get(uint32_t i, uint8_t key, msub_names_view *v) { return msub_names_get(w.node[i].n, names_id(key), names_now(&w, i)->wall_ns, v); }
static inline names_outcome publish(uint32_t i, uint8_t key, const char *value) {
  names_outcome o = { 0 };
  cr_assert_eq(names_publish(&w, i, key, value, &o), MSUB_OK);
  cr_assert_eq(o.calls, 0, "never from inside");
  names_run(&w, 10 * MS);
  cr_assert(o.calls == 1 && o.result == MSUB_OK, "%u %d", o.calls, o.result);
  return o;
}
static inline int put(uint32_t i, uint8_t key, msub_bytes record, bool publish_too, msub_ipns_fault *f) {
  return msub_names_put(w.node[i].n, names_id(key), record, publish_too, names_now(&w, i), NULL, NULL, f);
}
#endif
