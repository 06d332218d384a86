// Package filestorage is the stock file_storage extension, with a `recreate` that keeps its promise: contrib's moves a corrupt
// database aside where opening it panics in the right place, and else returns an error or takes the process down, at every start.
package filestorage

//go:generate mdatagen metadata.yaml
