package runner

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// storage is the folder of a persistent queue; with a size, a disk of its own that can be full.
type storage struct {
	dir     string
	mounted bool
}

// errNoDisk marks a scenario that this machine does not let run.
var errNoDisk = errors.New("a disk of limited size needs the right to mount one")

// newStorage makes an empty folder, whatever a run that was killed has left there: a queue of before would be sent once more, under the
// same numbers.
func newStorage(dir string, sizeMiB int) (*storage, error) {
	for syscall.Unmount(dir, syscall.MNT_DETACH) == nil { // an error once nothing is mounted
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("empty the folder of the queue: %w", err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	s := &storage{dir: dir}
	if sizeMiB == 0 {
		return s, nil
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", sizeMiB)); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoDisk, err)
	}
	s.mounted = true
	return s, nil
}

// used is the share of the disk that is taken, 0 where there is none of its own.
func (s *storage) used() float64 {
	var disk syscall.Statfs_t
	if !s.mounted || syscall.Statfs(s.dir, &disk) != nil || disk.Blocks == 0 {
		return 0
	}
	return 1 - float64(disk.Bfree)/float64(disk.Blocks)
}

func (s *storage) remove() error {
	if s.mounted {
		if err := syscall.Unmount(s.dir, 0); err != nil {
			return fmt.Errorf("unmount %s: %w", s.dir, err)
		}
	}
	return os.RemoveAll(s.dir)
}
