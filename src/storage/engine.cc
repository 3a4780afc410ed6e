#include "storage/engine.h"

namespace coterie::storage {

Result<std::optional<Engine::Record>> Engine::FirstVersion(std::string_view prefix) const {
  std::string first(prefix);
  first.append(kVersionBytes, '\0');
  std::string end(prefix);
  end.append(kVersionBytes + 1, '\xff');
  const std::unique_ptr<Iterator> it = Iterate(std::move(first), std::move(end));
  it->SeekToFirst();
  COT_TRY(it->status());
  if (!it->Valid()) return std::optional<Record>();
  return Record{std::string(it->key()), std::string(it->value())};
}

}  // namespace coterie::storage
