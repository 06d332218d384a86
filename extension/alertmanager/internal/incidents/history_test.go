package incidents

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHistoryIsBoundedInMemoryAndOnDiskAndCanBeQueried(t *testing.T) {
	directory := t.TempDir()
	h, err := openHistory(directory, 3)
	require.NoError(t, err)
	start := time.Unix(1000, 0)
	for n := range 20 {
		at := start.Add(time.Duration(n) * time.Hour)
		h.add(Incident{ID: fmt.Sprint(n), Name: fmt.Sprint("N", n%2), StartedAt: at, ResolvedAt: at.Add(time.Minute)})
		require.NoError(t, h.save())
	}
	require.NoError(t, h.close())
	content, err := os.ReadFile(filepath.Join(directory, "history.jsonl"))
	require.NoError(t, err)
	assert.LessOrEqual(t, strings.Count(string(content), "\n"), 6)
	require.NoError(t, os.WriteFile(filepath.Join(directory, "history.jsonl"), append(content, `{"id":"cut of`...), 0o600))

	h, err = openHistory(directory, 3)
	require.NoError(t, err)
	ids := func(q Query) (found []string) {
		for _, i := range h.query(q) {
			found = append(found, i.ID)
		}
		return found
	}
	assert.Equal(t, 1, h.damaged)
	assert.Equal(t, []string{"19", "18", "17"}, ids(Query{}), "newest first, also after a kill in the middle of a line")
	assert.Equal(t, []string{"19"}, ids(Query{Limit: 1}))
	assert.Equal(t, []string{"18"}, ids(Query{Name: "N0"}))
	assert.Equal(t, []string{"18", "17"}, ids(Query{To: start.Add(18 * time.Hour)}))
	assert.Equal(t, []string{"19"}, ids(Query{From: start.Add(19 * time.Hour)}))
	assert.Empty(t, ids(Query{Severity: "x"}))
	h.add(Incident{ID: "20", StartedAt: start.Add(50 * time.Hour), ResolvedAt: start.Add(51 * time.Hour)})
	require.NoError(t, h.save())
	require.NoError(t, h.close())
	h, err = openHistory(directory, 3)
	require.NoError(t, err)
	assert.Equal(t, []string{"20", "19", "18"}, ids(Query{}), "what is added after the line that was cut off")
	_, err = openHistory("/dev/null/x", 1)
	require.Error(t, err)
}

func TestDamagedLinesAreLeftOutAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		directory := t.TempDir()
		path := filepath.Join(directory, "history.jsonl")
		line := `{"id": "%s", "name": "N", "labels": {}, "started_at": "2000-01-01T00:00:00Z", "resolved_at": "2000-01-01T00:01:00Z"}` + "\n"
		content := fmt.Sprintf(line, "a") + "\x00\x00\n" + strings.Repeat("x", 2*maxLine) + "\nnull\n" + fmt.Sprintf(line, "b") +
			`{"id": "ends before it starts", "started_at": "2000-01-01T00:00:00Z"}` + "\n" + strings.TrimSuffix(fmt.Sprintf(line, "c"), "\n")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		w := begin(t, directory)
		found := w.History(Query{})
		require.Len(t, found, 3)
		assert.Equal(t, "c", found[0].ID, "whole but for the end of its line")
		assert.Contains(t, w.log.String(), "lines=4")
		w.fire(t, nil)
		w.clear(t, nil)
		pass(sweepInterval)
		w.stop()

		w = begin(t, directory)
		defer w.stop()
		found = w.History(Query{})
		require.Len(t, found, 3)
		assert.Equal(t, []string{"Slow", "N", "N"}, []string{found[0].Name, found[1].Name, found[2].Name})
		assert.Empty(t, w.log.String(), "the file has been mended")
	})
}

func TestALineThatWasNotWrittenIsMadeUpForByTheNext(t *testing.T) {
	directory, now := t.TempDir(), time.Now()
	h, err := openHistory(directory, 10)
	require.NoError(t, err)
	h.add(Incident{ID: "a", StartedAt: now, ResolvedAt: now})
	require.NoError(t, h.save())
	_, err = h.file.WriteString(`{"id": "cut of`) // as a disk that is full does
	require.NoError(t, err)
	require.NoError(t, h.file.Close())
	h.add(Incident{ID: "b", StartedAt: now, ResolvedAt: now})
	require.Error(t, h.save())
	h.add(Incident{ID: "c", StartedAt: now, ResolvedAt: now})
	require.NoError(t, h.save())
	require.NoError(t, h.close())

	h, err = openHistory(directory, 10)
	require.NoError(t, err)
	assert.Len(t, h.query(Query{}), 3)
	assert.Zero(t, h.damaged)
}

// FuzzHistory reads what a crash, a disk or a person may have made of the file. Whatever is in it, what was read and what is added
// is there after the next start.
func FuzzHistory(f *testing.F) {
	line := `{"id":"a","name":"N","labels":{"a":"b"},"started_at":"2000-01-01T00:00:00Z","resolved_at":"2000-01-01T00:01:00Z",` +
		`"acknowledgement":{"who":"ann","at":"2000-01-01T00:00:30Z"}}` + "\n"
	f.Add([]byte(line + line + line + line))
	f.Add([]byte(line + line[:len(line)/2]))
	f.Add([]byte(line[:20] + line))
	f.Add([]byte("\n\x00\n[]\nnull\n{}\n" + line[:len(line)-1]))
	f.Fuzz(func(t *testing.T, content []byte) {
		const maximum = 3
		directory := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(directory, "history.jsonl"), content, 0o600))
		h, err := openHistory(directory, maximum)
		require.NoError(t, err)
		kept := h.query(Query{})
		require.LessOrEqual(t, len(kept), maximum)
		require.LessOrEqual(t, len(kept)+h.damaged, bytes.Count(content, []byte("\n"))+1)
		now := time.Now()
		h.add(Incident{ID: "new", StartedAt: now, ResolvedAt: now})
		require.NoError(t, h.save())
		require.NoError(t, h.close())

		h, err = openHistory(directory, maximum)
		require.NoError(t, err)
		require.Zero(t, h.damaged)
		after := h.query(Query{})
		require.Equal(t, "new", after[0].ID)
		for n, i := range kept[:min(len(kept), maximum-1)] {
			require.Equal(t, i.ID, after[n+1].ID)
		}
		tracker := &Tracker{history: h}
		for _, s := range tracker.Statistics(Query{}) {
			require.Positive(t, s.Count)
		}
	})
}
