"""The program `pfs`."""

from __future__ import annotations

import sys
from typing import NoReturn

from cli.entry import Entry
from cli.process import run_process

_STORE, _REPO, _COMMIT, _TXN, _FILE, _SERVE = "Store", "Repos and branches", "Commits", "Transactions", "Files", "S3"
COMMANDS = {
    "init": Entry("cli.commands.store", "init", "Make a store in a folder", _STORE),
    "locate": Entry("cli.commands.store", "locate", "Print the folder of the store", _STORE),
    "doctor": Entry("cli.commands.store", "doctor", "Check what this machine offers", _STORE),
    "fsck": Entry("cli.commands.store", "fsck", "Check that everything is there and whole", _STORE),
    "gc": Entry("cli.commands.gc", "gc", "Free the space of what nothing leads to", _STORE),
    "stats": Entry("cli.commands.stats", "stats", "Show what repos take up", _STORE),
    "set-retention": Entry("cli.commands.retention", "set_retention", "Say which commits of a repo stay", _STORE),
    "tier": Entry("cli.commands.tier", "tier", "Move old data to a cheaper storage class", _STORE),
    "set-tiering": Entry("cli.commands.tier", "set_tiering", "Say what goes to which storage class by itself", _STORE),
    "thaw": Entry("cli.commands.tier", "thaw", "Have archived files back", _STORE),
    "purge": Entry("cli.commands.purge", "purge", "Delete a path for good, out of all history", _STORE),
    "recover": Entry("cli.commands.store", "recover", "Rebuild the index from the object store", _STORE),
    "consolidate-index": Entry("cli.commands.consolidate", "consolidate_index", "Make index segments", _STORE),
    "clone": Entry("cli.commands.moving", "clone", "Copy a whole store to another place", _STORE),
    "list-keyslot": Entry("cli.commands.keyslot", "list_keyslot", "List what opens an encrypted store", _STORE),
    "create-keyslot": Entry("cli.commands.keyslot", "create_keyslot", "Let another secret open it, too", _STORE),
    "update-keyslot": Entry("cli.commands.keyslot", "update_keyslot", "Change a passphrase or key file", _STORE),
    "delete-keyslot": Entry("cli.commands.keyslot", "delete_keyslot", "Let a secret open it no more", _STORE),
    "push": Entry("cli.commands.moving", "push", "Send branches to another store", _STORE),
    "pull": Entry("cli.commands.moving", "pull", "Get branches from another store", _STORE),
    "version": Entry("cli.commands.store", "version", "Say which versions run", _STORE),
    "completion": Entry("cli.commands.completion", "completion", "Print the completion script of a shell", _STORE),
    "create-repo": Entry("cli.commands.repo", "create_repo", "Make a repo", _REPO),
    "update-repo": Entry("cli.commands.repo", "update_repo", "Change the description of a repo", _REPO),
    "list-repo": Entry("cli.commands.repo", "list_repo", "List repos", _REPO),
    "inspect-repo": Entry("cli.commands.repo", "inspect_repo", "Show a repo", _REPO),
    "delete-repo": Entry("cli.commands.repo", "delete_repo", "Take a repo away", _REPO),
    "edit-metadata": Entry("cli.commands.metadata", "edit_metadata", "Say more of a repo, branch or commit", _REPO),
    "create-branch": Entry("cli.commands.branch", "create_branch", "Make or move a branch", _REPO),
    "list-branch": Entry("cli.commands.branch", "list_branch", "List the branches of a repo", _REPO),
    "inspect-branch": Entry("cli.commands.branch", "inspect_branch", "Show a branch", _REPO),
    "delete-branch": Entry("cli.commands.branch", "delete_branch", "Take a branch away", _REPO),
    "create-tag": Entry("cli.commands.tag", "create_tag", "Name a commit for good", _REPO),
    "list-tag": Entry("cli.commands.tag", "list_tag", "List the tags of a repo", _REPO),
    "delete-tag": Entry("cli.commands.tag", "delete_tag", "Take a tag away", _REPO),
    "undelete": Entry("cli.commands.history", "undelete", "Get back what was deleted", _REPO),
    "start-commit": Entry("cli.commands.commit", "start_commit", "Open a commit on a branch", _COMMIT),
    "finish-commit": Entry("cli.commands.commit", "finish_commit", "Finish the open commit of a branch", _COMMIT),
    "clear-commit": Entry("cli.commands.commit", "clear_commit", "Take all changes out of an open commit", _COMMIT),
    "list-commit": Entry("cli.commands.commit", "list_commit", "List commits, newest first", _COMMIT),
    "inspect-commit": Entry("cli.commands.commit", "inspect_commit", "Show a commit", _COMMIT),
    "wait-commit": Entry("cli.commands.wait", "wait_commit", "Wait until a commit is finished", _COMMIT),
    "subscribe-commit": Entry("cli.commands.wait", "subscribe_commit", "Print commits as they are finished", _COMMIT),
    "log": Entry("cli.commands.log", "log", "Show history, with --graph as a drawing", _COMMIT),
    "find-commit": Entry("cli.commands.log", "find_commit", "List the commits that changed a path", _COMMIT),
    "squash-commit": Entry("cli.commands.history", "squash_commit", "Take a commit out of the history", _COMMIT),
    "drop-commit": Entry("cli.commands.history", "drop_commit", "Take a head away, back to its parent", _COMMIT),
    "merge": Entry("cli.commands.merge", "merge", "Merge a commit into a branch", _COMMIT),
    "revert": Entry("cli.commands.merge", "revert", "Undo a commit by a new one", _COMMIT),
    "cherry-pick": Entry("cli.commands.merge", "cherry_pick", "Do on a branch what a commit did", _COMMIT),
    "rebase": Entry("cli.commands.merge", "rebase", "Put a branch on top of another commit", _COMMIT),
    "list-commit-set": Entry("cli.commands.history", "list_commit_set", "List commits by id, over all repos", _COMMIT),
    "inspect-commit-set": Entry("cli.commands.history", "inspect_commit_set", "Show the commits of an id", _COMMIT),
    "start-transaction": Entry("cli.commands.transaction", "start_transaction", "Begin changes of several repos", _TXN),
    "finish-transaction": Entry("cli.commands.transaction", "finish_transaction", "Publish them all at once", _TXN),
    "delete-transaction": Entry("cli.commands.transaction", "delete_transaction", "Give them up", _TXN),
    "stop-transaction": Entry("cli.commands.transaction", "stop_transaction", "Leave the active one as it is", _TXN),
    "resume-transaction": Entry("cli.commands.transaction", "resume_transaction", "Make one active again", _TXN),
    "list-transaction": Entry("cli.commands.transaction", "list_transaction", "List those not finished", _TXN),
    "inspect-transaction": Entry("cli.commands.transaction", "inspect_transaction", "Show what is in one", _TXN),
    "put-file": Entry("cli.commands.put_file", "put_file", "Put files, folders, archives or URLs into a branch", _FILE),
    "get-file": Entry("cli.commands.get", "get_file", "Get a file or directory", _FILE),
    "list-file": Entry("cli.commands.list", "list_file", "List a directory", _FILE),
    "glob-file": Entry("cli.commands.list", "glob_file", "List the paths that match a pattern", _FILE),
    "inspect-file": Entry("cli.commands.list", "inspect_file", "Show a file or directory", _FILE),
    "delete-file": Entry("cli.commands.change", "delete_file", "Delete a file or directory", _FILE),
    "copy-file": Entry("cli.commands.change", "copy_file", "Copy a file or directory, moving no bytes", _FILE),
    "diff-file": Entry("cli.commands.diff", "diff_file", "List the paths or rows that differ", _FILE),
    "mount": Entry("cli.commands.mount", "mount", "Show the store as a read-only folder", _FILE),
    "umount": Entry("cli.commands.mount", "umount", "End what mount shows", _FILE),
    "serve": Entry("cli.commands.serve", "serve", "Run the S3 gateway and the pipeline controller", _SERVE),
    "credentials": Entry("cli.commands.key", "credentials", "Print the root key for S3 clients", _SERVE),
    "create-key": Entry("cli.commands.key", "create_key", "Make an S3 key", _SERVE),
    "list-key": Entry("cli.commands.key", "list_key", "List S3 keys", _SERVE),
    "delete-key": Entry("cli.commands.key", "delete_key", "Take an S3 key away", _SERVE),
}

_HELP = "Versioned data: files become immutable, deduplicated commits; every repo is also an S3 bucket."


def main() -> NoReturn:
    """Run `pfs` with the words of the command line."""
    run_process(_run)


def _run() -> NoReturn:
    from cli import plain

    plain.run("pfs", sys.argv[1:])
    from cli.app import program, run  # click: loaded once `run_process` has put off looking for garbage

    run(program("pfs", COMMANDS, help=_HELP))
