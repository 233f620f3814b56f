/* Looking through the folders of a scratch directory: where nothing unknown is found, the known files go. */
#ifndef PPS_WORKER_SWEEP_H
#define PPS_WORKER_SWEEP_H

#include <dirent.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PLACES = 64 };
static const unsigned ANYTHING = 1u << 31, UNTIMED = 1u << 30;
/* The flags of chattr(1) that a command can set; workers/inode_flags.py has the same. */
static const unsigned FLAGS = 0xff | 0x400 | 0x4000 | 0x10000 | 0x800000 | 0x60000000;

/* A folder inside another one that is named before it, the first (-1) by its path; or a file inside a folder.
 * With ANYTHING in its mode a folder may hold what it wants, with UNTIMED it may have been changed itself. */
typedef struct {
    int parent;
    unsigned mode;
    const char *name;
} place;

typedef struct {
    place folders[PLACES], files[PLACES];
    int folder_count, file_count, fds[PLACES];
} places;

/* Read (parent, name) and the mode of folders; the names belong to the tuples. */
static int take_some(PyObject *from, const char *form, place *to, int *count) {
    Py_ssize_t size = PyTuple_GET_SIZE(from);
    if (size > PLACES) return PyErr_SetString(PyExc_ValueError, "too many places"), -1;
    for (Py_ssize_t i = 0; i < size; i++) {
        place *one = &to[i];
        PyObject *item = PyTuple_GET_ITEM(from, i);
        if (!PyTuple_Check(item)) return PyErr_SetString(PyExc_TypeError, "a place is a tuple"), -1;
        if (!PyArg_ParseTuple(item, form, &one->parent, &one->name, &one->mode)) return -1;
    }
    *count = (int)size;
    return 0;
}

static int take_places(PyObject *folders, PyObject *files, places *all) {
    if (take_some(folders, "iyI", all->folders, &all->folder_count)) return -1;
    if (take_some(files, "iy", all->files, &all->file_count)) return -1;
    for (int i = 0; i < all->folder_count; i++) {
        if (all->folders[i].parent >= i || (i > 0) != (all->folders[i].parent >= 0)) goto wrong;
    }
    for (int i = 0; i < all->file_count; i++) {
        if (all->files[i].parent < 0 || all->files[i].parent >= all->folder_count) goto wrong;
    }
    return 0;
wrong:
    return PyErr_SetString(PyExc_ValueError, "a place outside of those before it"), -1;
}

static place *named(place *all, int count, int parent, const char *name) {
    for (int i = 0; i < count; i++) {
        if (all[i].parent == parent && !strcmp(all[i].name, name)) return &all[i];
    }
    return NULL;
}

static int is_of_overlay(const char *name) {
    return !strncmp(name, "user.overlay.", 13) || !strncmp(name, "trusted.overlay.", 16);
}

/* Whose the folders are, and their flags: of the first, from which the others have theirs. */
typedef struct {
    uid_t user;
    gid_t group;
    unsigned flags;
} owner;

static unsigned flags_of(int fd) {
    union { long room; unsigned flags; } found = {0}; /* the request says a long, the kernel writes an int */
    return ioctl(fd, FS_IOC_GETFLAGS, &found) ? 0 : found.flags & FLAGS;
}

static int owner_of(int fd, owner *whose) {
    struct stat found;
    if (fstat(fd, &found)) return 0;
    *whose = (owner){geteuid(), found.st_gid, flags_of(fd)};
    return 1;
}

/* What is made or removed in a directory gives it one time for both; what changes itself (owner, times) does not. */
static int is_timed(const struct stat *found) {
    return found->st_mtim.tv_sec == found->st_ctim.tv_sec && found->st_mtim.tv_nsec == found->st_ctim.tv_nsec;
}

/* Say whether a directory has its mode, owner, flags and times, and no attributes but those that the system gives;
 * count those of overlayfs. */
static int is_as_made(int fd, unsigned mode, const owner *whose, int *layered) {
    struct stat found;
    char names[1024];
    if (fstat(fd, &found) || (found.st_mode & 07777) != (mode & 07777)) return 0;
    if (found.st_uid != whose->user || found.st_gid != whose->group || flags_of(fd) != whose->flags) return 0;
    if (!(mode & UNTIMED) && !is_timed(&found)) return 0;
    ssize_t size = flistxattr(fd, names, sizeof names);
    if (size < 0) return errno == ENOTSUP;
    for (char *name = names; name < names + size; name += strlen(name) + 1) {
        if (is_of_overlay(name)) *layered += 1;
        else if (strncmp(name, "security.", 9)) return 0;
    }
    return 1;
}

/* Remove what overlayfs leaves on the upper folder of each mount. */
static int drop_layered(int fd) {
    char names[1024];
    ssize_t size = flistxattr(fd, names, sizeof names);
    for (char *name = names; name < names + size; name += strlen(name) + 1) {
        if (is_of_overlay(name) && fremovexattr(fd, name)) return 0;
    }
    return 1;
}

/* Say whether nothing but known files and folders is in a folder. */
static int has_known_only(places *all, int at) {
    struct entry { uint64_t inode, offset; unsigned short size; unsigned char type; char name[]; };
    _Alignas(8) char listed[4096];
    long size;
    while ((size = syscall(SYS_getdents64, all->fds[at], listed, sizeof listed)) > 0) {
        for (long next = 0; next < size;) {
            struct entry *one = (struct entry *)(listed + next);
            next += one->size;
            int known = !strcmp(one->name, ".") || !strcmp(one->name, "..") ||
                        named(all->files, all->file_count, at, one->name) ||
                        named(all->folders, all->folder_count, at, one->name);
            if (!known) return 0;
        }
    }
    return size == 0;
}

static int remove_files(const places *all) {
    for (int i = 0; i < all->file_count; i++) {
        const place *one = &all->files[i];
        if (unlinkat(all->fds[one->parent], one->name, 0) && errno != ENOENT) return 0;
    }
    return 1;
}

/* Whatever stands where a folder should, it is opened without following links, step by step from the first. */
static int sweep_all(places *all) {
    int clean = 1, opened = 0, layered[PLACES] = {0};
    owner whose;
    while (clean && opened < all->folder_count) {
        const place *one = &all->folders[opened];
        int above = opened ? all->fds[one->parent] : AT_FDCWD;
        int fd = openat(above, one->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        clean = fd >= 0;
        if (!clean) break;
        all->fds[opened] = fd;
        clean = (opened || owner_of(fd, &whose)) && is_as_made(fd, one->mode, &whose, &layered[opened]);
        if (clean && !(one->mode & ANYTHING)) clean = has_known_only(all, opened);
        opened++;
    }
    clean = clean && remove_files(all);
    for (int i = 0; clean && i < opened; i++) clean = !layered[i] || drop_layered(all->fds[i]);
    for (int i = 0; i < opened; i++) close(all->fds[i]);
    return clean;
}

#endif
