#include "pubsub/engine.h"

static const char *const names[] = {
#define MSUB_X(name, text, ...) text,
  MSUB_EVENT_MAP(MSUB_X)
#undef MSUB_X
};
const char *msub_event_name(int kind) { return kind < 0 || kind >= MSUB_EVENTS ? "unknown" : names[kind]; }

void msub__trace(msub_engine *e, unsigned ri, msub_event ev) {
  ev.router = ri;
  MSUB__WORLD(e)->trace(e->w, &ev);
}
