/*
 * A disk and a wall clock that tests own, loaded before libc (LD_PRELOAD). It acts on files below DISK_BELOW only, and
 * does what the numbers in DISK_CONTROL say (test/support/disk/disk.ts), which a test may change at any time.
 *
 * With DISK_PLATTER it keeps, in that directory, what a power cut would leave: a write gets there when its file is
 * synced, or earlier by chance, as kernels do. What is not there lives in this process's memory, so kill -9 is the
 * power cut. A sync that fails loses what it was to write, and the next one knows nothing of it, as on Linux.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

struct control {
  int64_t write_errno;  /* of every write; 0: none fails */
  int64_t sync_errno;   /* of every sync; 0: none fails */
  int64_t sync_delay;   /* ms */
  int64_t room;         /* bytes that files may grow by; negative: any */
  int64_t syncs;        /* how many were made */
  int64_t faults;       /* how many calls were refused */
  int64_t clock_offset; /* ms added to the wall clock */
  int64_t early;        /* in 100 writes, how many reach the platter before their sync */
  int64_t read_errno;   /* of every read; 0: none fails */
  int64_t last_sync;    /* counts down with each sync; the one that makes it 0 is not made any more: the power is cut */
  int64_t spoil;        /* 1: a sync that fails ruins the sectors it was to write, with what they held before */
};

/* A change that is not on the platter yet. `bytes` is null for a truncation to `offset`. */
struct change {
  struct change *next;
  off_t offset;
  size_t length;
  char *bytes;
};

struct file {
  char name[NAME_MAX + 1]; /* below the directory */
  struct change *first, *last;
};

#define SECTOR 4096
#define FILES 64
#define DESCRIPTORS 4096

static struct control idle = {.room = -1};
static struct control *control = &idle;
static char below[PATH_MAX], platter[PATH_MAX];
static struct file files[FILES];
static struct file *opened[DESCRIPTORS]; /* by descriptor */
static ino_t inodes[DESCRIPTORS];        /* of what it was when it was opened */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int seed;

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_unlink)(const char *);
static int (*real_remove)(const char *);
static int (*real_rename)(const char *, const char *);
static int (*real_statfs)(const char *, struct statfs *);
static int (*real_clock_gettime)(clockid_t, struct timespec *);

#define REAL(name) real_##name = dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
  REAL(open), REAL(openat), REAL(close), REAL(pwrite), REAL(write), REAL(writev), REAL(ftruncate), REAL(fsync);
  REAL(pread), REAL(unlink), REAL(remove), REAL(rename), REAL(statfs), REAL(clock_gettime);
  const char *directory = getenv("DISK_BELOW"), *kept = getenv("DISK_PLATTER"), *path = getenv("DISK_CONTROL");
  if (directory) snprintf(below, sizeof below, "%s/", directory);
  if (kept) snprintf(platter, sizeof platter, "%s/", kept);
  seed = getenv("DISK_SEED") ? (unsigned int)atoi(getenv("DISK_SEED")) : 1;
  int fd = path ? real_open(path, O_RDWR) : -1;
  if (fd < 0) return;
  void *shared = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared != MAP_FAILED) control = shared;
  real_close(fd);
}

static int refuse(int64_t number) {
  control->faults += 1;
  errno = (int)number;
  return -1;
}

/* ---------------------------------------------------------------- which file */

static const char *name_below(const char *path) {
  size_t length = strlen(below);
  if (length == 0 || strncmp(path, below, length) != 0) return NULL;
  const char *name = path + length;
  return strchr(name, '/') || strlen(name) > NAME_MAX ? NULL : name;
}

static struct file *find(const char *name) {
  for (int i = 0; i < FILES; i += 1)
    if (strcmp(files[i].name, name) == 0) return &files[i];
  return NULL;
}

static struct file *find_or_add(const char *name) {
  struct file *file = find(name);
  if (file == NULL && (file = find("")) != NULL) strcpy(file->name, name);
  return file;
}

/* libuv closes files by a system call of its own: a descriptor may be another thing by now, such as a socket. */
static struct file *file_of(int fd) {
  struct stat now;
  if (fd < 0 || fd >= DESCRIPTORS || opened[fd] == NULL) return NULL;
  if (fstat(fd, &now) != 0 || now.st_ino != inodes[fd]) opened[fd] = NULL;
  return opened[fd];
}

static int note_open(int fd, const char *path) {
  if (fd < 0 || fd >= DESCRIPTORS) return fd;
  const char *name = name_below(path);
  struct stat now;
  pthread_mutex_lock(&lock);
  opened[fd] = name && fstat(fd, &now) == 0 ? find_or_add(name) : NULL;
  if (opened[fd]) inodes[fd] = now.st_ino;
  pthread_mutex_unlock(&lock);
  return fd;
}

/* ---------------------------------------------------------------- the platter */

static void apply(const struct file *file, const struct change *change) {
  char path[2 * PATH_MAX];
  snprintf(path, sizeof path, "%s%s", platter, file->name);
  int fd = real_open(path, O_RDWR | O_CREAT, 0600);
  if (fd < 0) abort();
  if (change != NULL && change->bytes == NULL && real_ftruncate(fd, change->offset) != 0) abort();
  if (change != NULL && change->bytes != NULL &&
      real_pwrite(fd, change->bytes, change->length, change->offset) != (ssize_t)change->length)
    abort();
  real_close(fd);
}

/* A sector that could not be written holds nothing any more, though most of what it held was durable. */
static void spoil(const struct file *file, const struct change *change) {
  char path[2 * PATH_MAX], junk[SECTOR];
  struct stat kept;
  snprintf(path, sizeof path, "%s%s", platter, file->name);
  memset(junk, 0xff, sizeof junk);
  int fd = real_open(path, O_RDWR);
  if (fd < 0 || change->bytes == NULL || fstat(fd, &kept) != 0) goto end;
  for (off_t at = change->offset / SECTOR * SECTOR; at < change->offset + (off_t)change->length; at += SECTOR)
    if (at + SECTOR <= kept.st_size && real_pwrite(fd, junk, sizeof junk, at) != SECTOR) abort();
end:
  if (fd >= 0) real_close(fd);
}

static void forget(struct file *file) {
  while (file->first != NULL) {
    struct change *change = file->first;
    file->first = change->next;
    free(change->bytes);
    free(change);
  }
  file->last = NULL;
}

static void record(struct file *file, off_t offset, const void *bytes, size_t length) {
  if (platter[0] == 0) return;
  struct change *change = calloc(1, sizeof *change);
  if (change == NULL) abort();
  change->offset = offset;
  change->length = length;
  if (bytes != NULL) {
    change->bytes = malloc(length + 1);
    if (change->bytes == NULL) abort();
    memcpy(change->bytes, bytes, length);
    if (rand_r(&seed) % 100 < control->early) apply(file, change);
  }
  if (file->last == NULL) file->first = change;
  else file->last->next = change;
  file->last = change;
}

/* ---------------------------------------------------------------- what programs call */

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;
  va_end(rest);
  return note_open(real_open(path, flags, mode), path);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;
  va_end(rest);
  return note_open(real_open(path, flags | O_LARGEFILE, mode), path);
}

int openat(int directory, const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;
  va_end(rest);
  return note_open(real_openat(directory, path, flags, mode), path);
}

int close(int fd) {
  if (fd >= 0 && fd < DESCRIPTORS) opened[fd] = NULL;
  return real_close(fd);
}

static ssize_t write_at(int fd, struct file *file, const void *bytes, size_t length, off_t offset) {
  if (control->write_errno != 0) return refuse(control->write_errno);
  pthread_mutex_lock(&lock);
  struct stat now;
  ssize_t written = -1;
  if (fstat(fd, &now) == 0) {
    off_t growth = offset + (off_t)length - now.st_size;
    if (growth > 0 && control->room >= 0 && growth > control->room) {
      pthread_mutex_unlock(&lock);
      return refuse(ENOSPC);
    }
    written = real_pwrite(fd, bytes, length, offset);
    if (written > 0) record(file, offset, bytes, (size_t)written);
    if (written > 0 && growth > 0 && control->room >= 0) control->room -= growth;
  }
  pthread_mutex_unlock(&lock);
  return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  struct file *file = file_of(fd);
  return file ? write_at(fd, file, bytes, length, offset) : real_pwrite(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) { return pwrite(fd, bytes, length, offset); }

ssize_t write(int fd, const void *bytes, size_t length) {
  struct file *file = file_of(fd);
  if (file == NULL) return real_write(fd, bytes, length);
  off_t offset = lseek(fd, 0, SEEK_CUR);
  ssize_t written = write_at(fd, file, bytes, length, offset);
  if (written > 0) lseek(fd, offset + written, SEEK_SET);
  return written;
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
  if (file_of(fd) == NULL) return real_writev(fd, pieces, count);
  ssize_t written = 0;
  for (int i = 0; i < count; i += 1) {
    ssize_t one = write(fd, pieces[i].iov_base, pieces[i].iov_len);
    if (one < 0) return written > 0 ? written : one;
    written += one;
  }
  return written;
}

ssize_t pread(int fd, void *bytes, size_t length, off_t offset) {
  if (control->read_errno != 0 && file_of(fd) != NULL) return refuse(control->read_errno);
  return real_pread(fd, bytes, length, offset);
}

ssize_t pread64(int fd, void *bytes, size_t length, off_t offset) { return pread(fd, bytes, length, offset); }

int ftruncate(int fd, off_t size) {
  struct file *file = file_of(fd);
  if (file == NULL) return real_ftruncate(fd, size);
  if (control->write_errno != 0) return refuse(control->write_errno);
  pthread_mutex_lock(&lock);
  struct stat before;
  int result = fstat(fd, &before);
  if (result == 0 && control->room >= 0 && size - before.st_size > control->room) {
    pthread_mutex_unlock(&lock);
    return refuse(ENOSPC);
  }
  if (result == 0) result = real_ftruncate(fd, size);
  if (result == 0) record(file, size, NULL, 0);
  if (result == 0 && control->room >= 0) control->room += before.st_size - size;
  pthread_mutex_unlock(&lock);
  return result;
}

int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

int fsync(int fd) {
  struct file *file = file_of(fd);
  if (file == NULL) return real_fsync(fd);
  if (control->sync_delay > 0) usleep((useconds_t)control->sync_delay * 1000);
  pthread_mutex_lock(&lock);
  if (control->last_sync > 0 && (control->last_sync -= 1) == 0) kill(getpid(), SIGKILL), pause();
  int64_t number = control->sync_errno;
  if (number == 0 && platter[0] != 0) {
    apply(file, NULL);
    for (const struct change *change = file->first; change != NULL; change = change->next) apply(file, change);
  }
  if (number != 0 && platter[0] != 0 && control->spoil != 0)
    for (const struct change *change = file->first; change != NULL; change = change->next) spoil(file, change);
  forget(file);
  control->syncs += 1;
  pthread_mutex_unlock(&lock);
  return number == 0 ? 0 : refuse(number);
}

int fdatasync(int fd) { return fsync(fd); }

int unlink(const char *path) {
  const char *name = name_below(path);
  if (name == NULL) return real_unlink(path);
  pthread_mutex_lock(&lock);
  struct stat before;
  int64_t size = stat(path, &before) == 0 ? before.st_size : 0;
  int result = real_unlink(path);
  if (result == 0 && control->room >= 0) control->room += size;
  struct file *file = find(name);
  if (result == 0 && file != NULL) forget(file);
  if (result == 0 && platter[0] != 0) {
    char kept[2 * PATH_MAX];
    snprintf(kept, sizeof kept, "%s%s", platter, name);
    real_unlink(kept);
  }
  pthread_mutex_unlock(&lock);
  return result;
}

/* The room is what is free, or the server would believe that there is more. */
int statfs(const char *path, struct statfs *found) {
  int result = real_statfs(path, found);
  size_t length = strlen(below);
  int ours = length > 0 && (strncmp(path, below, length) == 0 || (strlen(path) == length - 1 && strncmp(path, below, length - 1) == 0));
  if (result == 0 && ours && control->room >= 0) found->f_bavail = (unsigned long)(control->room / (int64_t)found->f_bsize);
  return result;
}

/* The same call and the same structure where an offset has 64 bits anyway. */
int statfs64(const char *path, struct statfs64 *found) { return statfs(path, (struct statfs *)found); }

int remove(const char *path) { return name_below(path) ? unlink(path) : real_remove(path); }

int rename(const char *from, const char *to) {
  const char *source = name_below(from), *target = name_below(to);
  int result = real_rename(from, to);
  if (result != 0 || source == NULL || target == NULL || platter[0] == 0) return result;
  char kept[2 * PATH_MAX], kept_to[2 * PATH_MAX];
  snprintf(kept, sizeof kept, "%s%s", platter, source);
  snprintf(kept_to, sizeof kept_to, "%s%s", platter, target);
  real_rename(kept, kept_to);
  return result;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int result = real_clock_gettime(clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    time->tv_sec += control->clock_offset / 1000;
  return result;
}

int gettimeofday(struct timeval *time, void *zone) {
  (void)zone;
  struct timespec now;
  int result = clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return result;
}
