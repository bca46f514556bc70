#include "meshsub/world.h"

static const char *const texts[] = {
#define MSUB_X(name, cls, text) text,
  MSUB_REASON_MAP(MSUB_X)
#undef MSUB_X
};
static const msub_blame classes[] = {
#define MSUB_X(name, cls, text) MSUB_BLAME_##cls,
  MSUB_REASON_MAP(MSUB_X)
#undef MSUB_X
};
static const char *const upper[] = {
#define MSUB_X(name, cls, text) #name,
  MSUB_REASON_MAP(MSUB_X)
#undef MSUB_X
};

const char *msub_reason_text(int reason) {
  return reason < 0 || reason >= MSUB_REASONS ? "unknown reason" : texts[reason];
}
const char *msub_reason_name(int reason) {
  return reason < 0 || reason >= MSUB_REASONS ? "UNKNOWN" : upper[reason];
}
msub_blame msub_reason_blame(int reason) {
  return reason < 0 || reason >= MSUB_REASONS ? MSUB_BLAME_RESOURCE : classes[reason];
}
