package incidents

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/atomicfile"
)

// history keeps resolved incidents, the newest maximum of them, in memory and as JSON lines on disk. The file is written anew
// when it has twice as many.
type history struct {
	path    string
	maximum int

	saving  sync.Mutex // held while the file is written; taken before mu
	lines   int
	damaged int // lines of the file that could not be read
	file    *os.File

	mu        sync.Mutex
	incidents []Incident // oldest first
	added     int        // since the start
	saved     int        // of those; the rest is not on disk
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
		h.lines = 2 * maximum // the next save writes the file anew
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

// add keeps an incident in memory; save writes it to disk.
func (h *history) add(i Incident) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.incidents = append(h.incidents, i)
	h.trim()
	h.added++
}

// save writes to disk what has been added since it last did, or everything. It does not hold mu while it writes.
func (h *history) save() error {
	h.saving.Lock()
	defer h.saving.Unlock()
	h.mu.Lock()
	added, unsaved := h.added, min(h.added-h.saved, len(h.incidents))
	incidents := slices.Clone(h.incidents[len(h.incidents)-unsaved:])
	anew := h.lines+unsaved > 2*h.maximum
	if anew {
		incidents = slices.Clone(h.incidents)
	}
	h.mu.Unlock()
	if unsaved == 0 {
		return nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	for i := range incidents {
		if err := encoder.Encode(&incidents[i]); err != nil {
			return err
		}
	}
	write := h.append
	if anew {
		write = h.rewrite
	}
	if err := write(b.Bytes()); err != nil {
		return err
	}
	h.lines += len(incidents)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.saved = added
	return nil
}

// append adds lines to the file. The caller holds saving.
func (h *history) append(lines []byte) error {
	if h.file == nil {
		file, err := os.OpenFile(h.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		h.file = file
	}
	_, err := h.file.Write(lines)
	if err != nil {
		h.lines = 2 * h.maximum // a line may have been cut off, and must not run into the next: that writes the file anew
	}
	return err
}

// rewrite replaces the file. The caller holds saving.
func (h *history) rewrite(lines []byte) error {
	if err := atomicfile.Replace(h.path, lines); err != nil {
		return err
	}
	h.lines = 0
	_ = h.closeFile() // what was written there is replaced
	return nil
}

// closeFile makes the next save open the file anew. The caller holds saving.
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
	h.saving.Lock()
	defer h.saving.Unlock()
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
