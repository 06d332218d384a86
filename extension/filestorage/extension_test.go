package filestorage

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	stock "github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const items = 200

func start(t *testing.T, directory string, recreate bool) (storage.Extension, *observer.ObservedLogs, error) {
	t.Helper()
	factory := NewFactory()
	cfg := factory.CreateDefaultConfig().(*stock.Config)
	cfg.Directory, cfg.Recreate, cfg.Timeout = directory, recreate, 50*time.Millisecond
	core, logs := observer.New(zap.WarnLevel)
	set := extensiontest.NewNopSettings(factory.Type())
	set.Logger = zap.New(core)
	e, err := factory.Create(context.Background(), set, cfg)
	require.NoError(t, err)
	err = e.Start(context.Background(), componenttest.NewNopHost())
	t.Cleanup(func() { require.NoError(t, e.Shutdown(context.Background())) })
	return e.(storage.Extension), logs, err
}

func open(t *testing.T, e storage.Extension) storage.Client {
	t.Helper()
	client, err := e.GetClient(context.Background(), component.KindExporter, component.MustNewID("pooledotlp"), "traces")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close(context.Background())) })
	return client
}

// database returns the bytes of one with many pages, and its name.
func database(t *testing.T) (name string, content []byte) {
	t.Helper()
	directory := t.TempDir()
	e, _, err := start(t, directory, true)
	require.NoError(t, err)
	client := open(t, e)
	for i := range items {
		require.NoError(t, client.Set(context.Background(), fmt.Sprint(i), bytes.Repeat([]byte("x"), 10_000)))
	}
	require.NoError(t, client.Close(context.Background()))
	files, err := os.ReadDir(directory)
	require.NoError(t, err)
	content, err = os.ReadFile(filepath.Join(directory, files[0].Name()))
	require.NoError(t, err)
	return files[0].Name(), content
}

// rootPage is where the pages of the items begin to be found.
func rootPage(t *testing.T, name string, content []byte) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	require.NoError(t, err)
	defer db.Close()
	page := 0
	require.NoError(t, db.View(func(tx *bbolt.Tx) error {
		page = int(tx.Bucket([]byte("default")).Root())
		return nil
	}))
	return page * os.Getpagesize()
}

func TestACorruptDatabaseIsMovedAsideAndTheStartGoesOn(t *testing.T) {
	name, good := database(t)
	page, root := os.Getpagesize(), rootPage(t, name, good)
	r := rand.New(rand.NewPCG(1, 2))
	garble := func(b []byte) {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
	for what, damage := range map[string]func([]byte) []byte{
		"something else": func([]byte) []byte { return []byte("hello") },
		"no head":        func(b []byte) []byte { garble(b[:2*page]); return b },
		"all foreign":    func(b []byte) []byte { garble(b); return b },
		"one page":       func(b []byte) []byte { return b[:page] },
		"two pages":      func(b []byte) []byte { return b[:2*page] },
		"cut off":        func(b []byte) []byte { return b[:len(b)/4] },
		"zeros":          func(b []byte) []byte { clear(b[2*page:]); return b },
		"a page zero":    func(b []byte) []byte { clear(b[root : root+page]); return b },
		"a page foreign": func(b []byte) []byte { garble(b[root : root+page]); return b },
		"one item lies beyond": func(b []byte) []byte {
			copy(b[root+page/64:], bytes.Repeat([]byte{0xff}, 8))
			garble(b[root+16 : root+64])
			return b
		},
	} {
		t.Run(what, func(t *testing.T) {
			directory := t.TempDir()
			path := filepath.Join(directory, name)
			corrupt := damage(bytes.Clone(good))
			require.NoError(t, os.WriteFile(path, corrupt, 0o600))
			e, logs, err := start(t, directory, true)
			require.NoError(t, err)

			require.Equal(t, 1, logs.Len())
			said := logs.All()[0].ContextMap()
			assert.Equal(t, path, said["file"])
			kept, err := os.ReadFile(said["backup"].(string))
			require.NoError(t, err)
			assert.Equal(t, corrupt, kept)
			client := open(t, e)
			require.NoError(t, client.Set(context.Background(), "1", []byte("anew")))
			value, err := client.Get(context.Background(), "1")
			require.NoError(t, err)
			assert.Equal(t, "anew", string(value))

			again, logs, err := start(t, directory, true)
			require.NoError(t, err)
			require.NotNil(t, again)
			for _, line := range logs.All() {
				assert.NotContains(t, line.Message, "corrupt", "a backup is not looked at, and a database in use is left alone")
			}
		})
	}
}

func TestWhatIsNotCorruptStays(t *testing.T) {
	name, good := database(t)
	directory := t.TempDir()
	write := func(name string, content []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(directory, name), content, 0o600))
	}
	write(name, good)
	write("notes.txt", []byte("hello"))
	write("exporter_empty__", nil)
	write(name+".20260102T150405.000Z.backup", []byte("hello"))
	require.NoError(t, os.Mkdir(filepath.Join(directory, "exporter_directory__"), 0o700))
	e, logs, err := start(t, directory, true)
	require.NoError(t, err)
	assert.Zero(t, logs.Len())
	client := open(t, e)
	for i := range items {
		value, err := client.Get(context.Background(), fmt.Sprint(i))
		require.NoError(t, err)
		assert.Len(t, value, 10_000)
	}
	files, err := os.ReadDir(directory)
	require.NoError(t, err)
	assert.Len(t, files, 5)
}

func TestWithoutRecreateNothingIsTouched(t *testing.T) {
	name, _ := database(t)
	directory := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(directory, name), []byte("hello"), 0o600))
	e, _, err := start(t, directory, false)
	require.NoError(t, err)
	_, err = e.GetClient(context.Background(), component.KindExporter, component.MustNewID("pooledotlp"), "traces")
	require.ErrorContains(t, err, "invalid database")
}

func TestADirectoryThatCannotBeRead(t *testing.T) {
	_, _, err := start(t, filepath.Join(t.TempDir(), "none"), true)
	require.NoError(t, err, "the stock extension's to report")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, _, err = start(t, file, true)
	require.ErrorContains(t, err, "not a directory")
}

func TestKeysOutOfOrderAreCorrupt(t *testing.T) {
	name, good := database(t)
	directory := t.TempDir()
	damaged := bytes.Clone(good)
	i := bytes.Index(damaged, []byte("199"+strings.Repeat("x", 100)))
	for ; i >= 0; i = bytes.Index(damaged, []byte("199"+strings.Repeat("x", 100))) {
		copy(damaged[i:], "000")
	}
	require.NoError(t, os.WriteFile(filepath.Join(directory, name), damaged, 0o600))
	_, logs, err := start(t, directory, true)
	require.NoError(t, err)
	require.Equal(t, 1, logs.Len())
	assert.Contains(t, logs.All()[0].ContextMap()["corruption"], "stands after")
}
