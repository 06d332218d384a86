package process

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// PinSelf gives this process, all of its threads and those that they start later one processor, and returns what gives it back the
// processors that it had. Children that were started before keep theirs.
func PinSelf(cpu int) (undo func() error, err error) {
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("read the processors of this process: %w", err)
	}
	one.Set(cpu)
	undo = func() error { return pin(&before) }
	if err := pin(&one); err != nil {
		_ = undo() // what went wrong already is what must be told
		return nil, fmt.Errorf("pin this process to processor %d: %w", cpu, err)
	}
	return undo, nil
}

// pin sets the processors of every thread. A thread that started meanwhile may have been started by one that was not pinned yet, so
// that threads are looked for until there is no new one.
func pin(set *unix.CPUSet) error {
	for pinned := map[int]bool{}; ; {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		found := false
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil || pinned[id] {
				continue
			}
			// A thread may have ended since.
			if err := unix.SchedSetaffinity(id, set); err != nil && err != unix.ESRCH {
				return err
			}
			pinned[id], found = true, true
		}
		if !found {
			// More goroutines at once than processors would only take them from each other.
			runtime.SetDefaultGOMAXPROCS()
			return nil
		}
	}
}
