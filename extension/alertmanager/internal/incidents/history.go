package incidents

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/atomicfile"
)

// history keeps resolved incidents, the newest maximum of them, in memory and as JSON lines on disk. The file is written anew
// when it has twice as many.
type history struct {
	path    string
	maximum int

	mu        sync.Mutex
	incidents []Incident // oldest first
	lines     int
	damaged   int // lines of the file that could not be read
	file      *os.File
}

func openHistory(directory string, maximum int) (*history, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("create the directory of alerts: %w", err)
	}
	h := &history{path: filepath.Join(directory, "history.jsonl"), maximum: maximum}
	file, err := os.Open(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the history of alerts: %w", err)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	if whole := h.read(file); !whole {
		h.lines = 2 * maximum // the next add writes the file anew
	}
	return h, nil
}

// maxLine bounds the memory that a damaged file can take.
const maxLine = 1 << 20

// read takes the incidents of a file and counts the lines that are none. It reports whether the file is whole: a kill may have cut
// its last line off.
func (h *history) read(file io.Reader) (whole bool) {
	lines := bufio.NewReaderSize(file, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			h.lines++
			var i Incident
			if json.Unmarshal(line, &i) == nil && i.ID != "" && !i.ResolvedAt.Before(i.StartedAt) {
				h.incidents = append(h.incidents, i)
			} else {
				h.damaged++
			}
		}
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a line that is too long
			_, err = lines.ReadSlice('\n')
		}
		if len(h.incidents) > 2*h.maximum {
			h.trim()
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				h.damaged++ // what follows cannot be read either
			}
			h.trim()
			return len(line) == 0 && h.damaged == 0
		}
	}
}

func (h *history) trim() {
	if surplus := len(h.incidents) - h.maximum; surplus > 0 {
		h.incidents = slices.Delete(h.incidents, 0, surplus)
	}
}

// add keeps an incident in memory in any case; the error is the disk's.
func (h *history) add(i Incident) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.incidents = append(h.incidents, i)
	h.trim()
	if h.lines >= 2*h.maximum {
		return h.rewrite()
	}
	if h.file == nil {
		file, err := os.OpenFile(h.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		h.file = file
	}
	line, err := json.Marshal(i)
	if err != nil {
		return err
	}
	h.lines++
	if _, err = h.file.Write(append(line, '\n')); err != nil {
		h.lines = 2 * h.maximum // it may have been cut off, and must not run into the next line: that writes the file anew
	}
	return err
}

func (h *history) rewrite() error {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	for i := range h.incidents {
		if err := encoder.Encode(&h.incidents[i]); err != nil {
			return err
		}
	}
	if err := atomicfile.Replace(h.path, []byte(b.String())); err != nil {
		return err
	}
	h.lines = len(h.incidents)
	return h.closeFile()
}

// closeFile makes the next add open the file anew. The caller holds mu.
func (h *history) closeFile() error {
	if h.file == nil {
		return nil
	}
	err := h.file.Close()
	h.file = nil
	return err
}

func (h *history) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.incidents)
}

func (h *history) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closeFile()
}

// Query selects resolved incidents.
type Query struct {
	// From and To bound when the incident was under way; zero does not.
	From, To time.Time
	// Name and Severity select by equality when they are not empty.
	Name, Severity string
	// Limit is the most that are returned, the newest; zero is all.
	Limit int
}

func (q *Query) matches(i *Incident) bool {
	return (q.From.IsZero() || !i.ResolvedAt.Before(q.From)) && (q.To.IsZero() || !i.StartedAt.After(q.To)) &&
		(q.Name == "" || q.Name == i.Name) && (q.Severity == "" || q.Severity == i.Severity)
}

// query returns what matches, newest first.
func (h *history) query(q Query) []Incident {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := []Incident{}
	for n := range slices.Backward(h.incidents) {
		if q.Limit > 0 && len(found) == q.Limit {
			break
		}
		if q.matches(&h.incidents[n]) {
			found = append(found, h.incidents[n])
		}
	}
	return found
}
