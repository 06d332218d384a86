package incidents

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
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
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		h.lines++
		var i Incident
		if json.Unmarshal(lines.Bytes(), &i) == nil {
			h.incidents = append(h.incidents, i)
		}
	}
	if torn := !endsLine(file); torn || h.lines != len(h.incidents) || lines.Err() != nil {
		h.lines = 2 * maximum // something is cut off or damaged: the next add writes the file anew
	}
	h.trim()
	return h, nil
}

// endsLine reports whether a file is empty or its last line whole: a kill may cut it off.
func endsLine(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return err == nil
	}
	last := make([]byte, 1)
	_, err = file.ReadAt(last, info.Size()-1)
	return err == nil && last[0] == '\n'
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
	_, err = h.file.Write(append(line, '\n'))
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
