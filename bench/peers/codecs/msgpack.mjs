import { PackrStream, UnpackrStream } from "msgpackr"
import { through } from "./through.mjs"

// Records are an extension of its own: without them it is MessagePack.
const useRecords = false

export const decoder = (seen) => through(new UnpackrStream({ useRecords }), seen)

export const encoder = (seen) => through(new PackrStream({ useRecords }), seen)
