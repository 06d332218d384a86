package alertmanager

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
)

// startSize is what a start may write at once: the storage of metrics moves what its log holds to files, and takes an error there for
// the end of the process.
const startSize = 8 << 20

// writable creates the directory if there is none and tries to write in it what a start needs.
func writable(directory string) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	probe := filepath.Join(directory, ".writable")
	if err := os.WriteFile(probe, make([]byte, startSize), 0o600); err != nil {
		_ = os.Remove(probe) // there may be none
		return err
	}
	return os.Remove(probe)
}

// diskStatus tells the Collector what cannot be written, as the extension's status: alerting goes on, so it is recoverable.
// It may be used by many at once.
type diskStatus struct {
	host     component.Host
	mu       sync.Mutex
	troubles map[string]error
}

// tells returns what takes the trouble with a part: nil when there is none any more.
func (s *diskStatus) tells(part string) func(error) {
	return func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			delete(s.troubles, part)
		} else {
			if s.troubles == nil {
				s.troubles = map[string]error{}
			}
			s.troubles[part] = fmt.Errorf("%s cannot be written to disk: %w", part, err)
		}
		event := componentstatus.NewEvent(componentstatus.StatusOK)
		if len(s.troubles) > 0 {
			var all []error
			for _, part := range slices.Sorted(maps.Keys(s.troubles)) {
				all = append(all, s.troubles[part])
			}
			event = componentstatus.NewRecoverableErrorEvent(errors.Join(all...))
		}
		componentstatus.ReportStatus(s.host, event)
	}
}
