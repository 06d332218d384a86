package pooledotlp

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
)

// The exporter helper's queue on disk numbers its items and keeps an index of them under one key, with the list of those that
// were being sent. Five things in it lose items, and are mended here, between the queue and its storage:
//
//   - At start it deletes the items that were being sent when the process died, and only then writes them to the end of the
//     queue. Here the deletion waits until they are there; a process that dies in between sends them twice.
//   - It goes on when they cannot be read or written. Here the start fails, and leaves everything as it was.
//   - When the index cannot be written, as on a full disk, it gives up the item that it was about to read. Here the item is read
//     all the same; a process that dies before the index could be written sends it twice.
//   - When an item cannot be read, it is deleted. Here nothing is written from then on, and what comes is refused: the next start finds
//     everything as it was.
//   - When its index cannot be read at start, it begins a new one over the items that are there. See queue_index.go.

// queueHost gives the queue the mended storage. The storage that it is not asked for stays as it is.
type queueHost struct {
	component.Host
	extensions map[component.ID]component.Component
	storage    *queueStorage
}

func newQueueHost(host component.Host, id component.ID, logger *zap.Logger) *queueHost {
	h := &queueHost{Host: host, extensions: host.GetExtensions()}
	if extension, ok := h.extensions[id].(storage.Extension); ok {
		h.storage = &queueStorage{Extension: extension, host: host, logger: logger}
		h.extensions = maps.Clone(h.extensions)
		h.extensions[id] = h.storage
	}
	return h
}

func (h *queueHost) GetExtensions() map[component.ID]component.Component { return h.extensions }

// started ends the start of the queue and reports what went wrong in it.
func (h *queueHost) started(ctx context.Context) error {
	if h.storage == nil || h.storage.client == nil {
		return nil
	}
	return h.storage.client.started(ctx)
}

type queueStorage struct {
	storage.Extension
	host   component.Host
	logger *zap.Logger
	client *queueClient
}

func (s *queueStorage) GetClient(ctx context.Context, kind component.Kind, id component.ID, name string) (storage.Client, error) {
	client, err := s.Extension.GetClient(ctx, kind, id, name)
	if err != nil {
		return nil, err
	}
	s.client = &queueClient{Client: client, host: s.host, logger: s.logger, starting: true}
	return s.client, nil
}

// queueClient is the storage of one queue. It is safe for concurrent use, as the client it wraps is.
type queueClient struct {
	storage.Client
	host   component.Host
	logger *zap.Logger

	mu sync.Mutex
	// starting lasts until the queue's start has returned.
	starting bool
	// deletions wait until what they delete is in its new place.
	deletions []*storage.Operation
	// failed is what went wrong with reading. From then on nothing is written: the next start finds everything as it was.
	failed error
	// behind is set while the index on disk could not be written, to say so once.
	behind bool
}

// Batch implements storage.Client.
func (c *queueClient) Batch(ctx context.Context, ops ...*storage.Operation) error {
	kind := kindOf(ops)
	c.mu.Lock()
	if c.failed != nil {
		defer c.mu.Unlock()
		return c.failed
	}
	if c.starting && kind == deletesItems {
		c.deletions = append(c.deletions, ops...)
		c.mu.Unlock()
		return nil
	}
	var deletions []*storage.Operation
	if kind == readsNext {
		// The index that goes with this read no longer names the items to be deleted: one transaction for both.
		deletions, c.deletions = c.deletions, nil
		ops = append(ops[:len(ops):len(ops)], deletions...)
	}
	starting := c.starting
	c.mu.Unlock()

	err := c.Client.Batch(ctx, ops...)
	switch {
	case kind == readsNext:
		return c.readWithoutIndex(ctx, ops, deletions, err)
	case err != nil && starting && (kind == readsItems || kind == writesItem):
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failed = fmt.Errorf("the queue on disk could not be restored and is left as it is: %w", err)
	}
	return err
}

// readWithoutIndex reads an item whose transaction failed with err, without writing the index. The deletions in it wait for the next one.
func (c *queueClient) readWithoutIndex(ctx context.Context, ops, deletions []*storage.Operation, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.behind = false
		return nil
	}
	c.deletions = append(c.deletions, deletions...)
	if !c.behind {
		c.behind = true
		c.logger.Warn("The index of the queue on disk cannot be written. Items are sent all the same, and once more if the process ends now.",
			zap.Error(err))
	}
	var reads []*storage.Operation
	for _, op := range ops {
		if op.Type == storage.Get {
			reads = append(reads, op)
		}
	}
	if err := c.Client.Batch(ctx, reads...); err != nil {
		c.failed = fmt.Errorf("the queue on disk cannot be read and is left as it is until the next start: %w", err)
		c.logger.Error("The queue on disk cannot be read. Requests are refused, and it is left as it is until the next start.", zap.Error(err))
		componentstatus.ReportStatus(c.host, componentstatus.NewPermanentErrorEvent(c.failed))
		return c.failed
	}
	return nil
}

// started deletes what still waits for it and returns what went wrong at start.
func (c *queueClient) started(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starting = false
	if c.failed != nil || len(c.deletions) == 0 {
		return c.failed
	}
	if err := c.Client.Batch(ctx, c.deletions...); err != nil {
		c.logger.Warn("Items of the queue on disk that were moved could not be deleted yet and take up space.", zap.Error(err))
		return nil
	}
	c.deletions = nil
	return nil
}

// batchKind is what the queue does with a batch of operations.
type batchKind uint8

const (
	other batchKind = iota
	// readsItems: items by their numbers, at start.
	readsItems
	// deletesItems: items by their numbers, and nothing else.
	deletesItems
	// readsNext: the index is written and an item read.
	readsNext
	// writesItem: the index and an item are written.
	writesItem
)

func kindOf(ops []*storage.Operation) batchKind {
	var gets, deletes, setsIndex, setsItem int
	for _, op := range ops {
		item := isItem(op.Key)
		switch {
		case op.Type == storage.Get && item:
			gets++
		case op.Type == storage.Delete && item:
			deletes++
		case op.Type == storage.Set && item:
			setsItem++
		case op.Type == storage.Set:
			setsIndex++
		}
	}
	switch n := len(ops); {
	case n == 0:
		return other
	case gets == n:
		return readsItems
	case deletes == n:
		return deletesItems
	case gets > 0 && setsIndex > 0 && setsItem == 0:
		return readsNext
	case setsItem > 0:
		return writesItem
	}
	return other
}

// isItem reports whether a key is that of an item: a number.
func isItem(key string) bool {
	_, err := strconv.ParseUint(key, 10, 64)
	return err == nil
}
