/* What a plain request holds, what its init says when it fails, and its mounts as mounts.apply does them. */
#ifndef PPS_PLAIN_MOUNTS_H
#define PPS_PLAIN_MOUNTS_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { ERRORS = 134 };
/* What strerror says, asked before the heap is gone. */
static char reasons[ERRORS][64];

typedef struct {
    char **argv, **env, *cwd, **steps, **end;
} request;

static size_t quoted(char *to, size_t room, const char *text) {
    size_t used = 0;
    for (; *text && used + 8 < room; text++) {
        unsigned char one = (unsigned char)*text;
        if (one == '"' || one == '\\') to[used++] = '\\';
        if (one < 0x20) used += (size_t)snprintf(to + used, 8, "\\u%04x", one);
        else to[used++] = (char)one;
    }
    to[used] = 0;
    return used;
}

/* Write one line for the executor, or for the log of the command. */
static void say(int fd, const char *text) {
    /* A closed pipe: the executor is gone, and there is nobody left to tell. SIGPIPE is ignored, as in Python. */
    ssize_t written = write(fd, text, strlen(text));
    (void)written;
}

static const char *reason(int number) {
    return number > 0 && number < ERRORS ? reasons[number] : "unknown error";
}

static _Noreturn void give_up(int status, const char *what, const char *path) {
    static char name[2 * PATH_MAX], line[3 * PATH_MAX];
    int number = errno;
    quoted(name, sizeof name, path);
    snprintf(line, sizeof line, "{\"error\": \"its surroundings could not be made: %s%s: %s\"}\n", what, reason(number), name);
    say(status, line);
    _exit(0);
}

/* Return NULL, or what could not be made, with errno. */
static const char *make_folders(const char *path) {
    static char part[PATH_MAX];
    struct stat there;
    size_t length = strlen(path);
    if (length >= sizeof part) return errno = ENAMETOOLONG, path;
    memcpy(part, path, length + 1);
    for (char *at = part + 1;; at++) {
        if (*at != '/' && *at) continue;
        char was = *at;
        *at = 0;
        if (mkdir(part, 0777)) {
            int number = errno;
            if (stat(part, &there) || !S_ISDIR(there.st_mode)) return errno = number, part;
        }
        *at = was;
        if (!was) return NULL;
    }
}

static const char *make_place(const char *source, const char *target) {
    struct stat from;
    char parent[PATH_MAX];
    if (!stat(source, &from) && S_ISDIR(from.st_mode)) return make_folders(target);
    if (!access(target, F_OK)) return NULL;
    snprintf(parent, sizeof parent, "%s", target);
    char *last = strrchr(parent, '/');
    if (last && last != parent) {
        *last = 0;
        const char *failed = make_folders(parent);
        if (failed) return failed;
    }
    int fd = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    return fd < 0 || close(fd) ? target : NULL;
}

/* A place that is missing is made, and the mount tried once more. */
static void bind_at(int status, const char *source, const char *target, unsigned long flags, int makes) {
    if (!mount(source, target, NULL, MS_BIND | flags, NULL)) return;
    if (makes && errno == ENOENT) {
        const char *failed = make_place(source, target);
        if (failed) give_up(status, "", failed);
        if (!mount(source, target, NULL, MS_BIND | flags, NULL)) return;
    }
    give_up(status, "mount bind: ", target);
}

static void read_only(int status, const char *target) {
    static const unsigned long kept[][2] = {{ST_NOSUID, MS_NOSUID},   {ST_NODEV, MS_NODEV},
                                            {ST_NOEXEC, MS_NOEXEC},   {ST_NOATIME, MS_NOATIME},
                                            {ST_NODIRATIME, MS_NODIRATIME}, {ST_RELATIME, MS_RELATIME}};
    struct statvfs found;
    unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY;
    if (statvfs(target, &found)) give_up(status, "", target);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        if (found.f_flag & kept[i][0]) flags |= kept[i][1];
    }
    if (mount("", target, NULL, flags, NULL)) give_up(status, "mount bind: ", target);
}

static void overlay(int status, char **step) {
    static char options[3 * PATH_MAX + 100];
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s,userxattr,index=off", step[0], step[1], step[2]);
    const char *failed = make_folders(step[3]);
    if (failed) give_up(status, "", failed);
    if (mount("overlay", step[3], "overlay", 0, options)) give_up(status, "mount overlay: ", step[3]);
}

static void mount_all(int status, const request *asked) {
    for (char **step = asked->steps; step < asked->end;) {
        char kind = *step++[0];
        if (kind == 'o') {
            overlay(status, step);
            step += 4;
        } else if (kind == 'p') {
            if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) give_up(status, "mount proc: ", "/proc");
        } else {
            bind_at(status, step[0], step[1], kind == 'b' ? 0 : MS_REC, kind != 't');
            if (kind == 'r') read_only(status, step[1]);
            step += 2;
        }
    }
}

#endif
