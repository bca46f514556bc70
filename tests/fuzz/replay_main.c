/* tests/fuzz/replay_main.c: feeds every file of the given folders to a fuzz target, without libFuzzer. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include "tests/fuzz/fuzz.h"

/* The file goes into a block of exactly its size, so that a sanitizer sees every byte read beyond it. */
static bool replay(const char *path) {
  struct stat st;
  FILE *f = fopen(path, "rb");
  if (!f || fstat(fileno(f), &st) != 0 || st.st_size < 0) {
    perror(path);
    if (f) (void)fclose(f);
    return false;
  }
  size_t n = (size_t)st.st_size;
  uint8_t *data = malloc(n);
  bool ok = (data || n == 0) && fread(data, 1, n, f) == n;
  (void)fclose(f);
  if (ok)
    (void)LLVMFuzzerTestOneInput(data, n);
  else
    perror(path);
  free(data);
  return ok;
}

/* The number of files replayed, or -1. */
static int replay_folder(const char *folder) {
  DIR *dir = opendir(folder);
  int count = 0;
  if (!dir) {
    perror(folder);
    return -1;
  }
  for (const struct dirent *e; (e = readdir(dir));) {
    char path[4096];
    if (e->d_name[0] == '.') continue;
    int n = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    if (n < 0 || (size_t)n >= sizeof path || !replay(path)) {
      count = -1;
      break;
    }
    count++;
  }
  (void)closedir(dir);
  return count;
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    int count = replay_folder(argv[i]);
    if (count <= 0) {
      (void)fprintf(stderr, "%s: nothing was replayed\n", argv[i]);
      return 1;
    }
    (void)printf("%s: %d inputs\n", argv[i], count);
  }
  return argc > 1 ? 0 : 2;
}
